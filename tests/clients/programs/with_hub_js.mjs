// Tasks for @huggingface/hub. As programs/case.py says: `node with_hub_js.mjs TASK CASE`, the last line is JSON.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// The package lies in the environment of the client, not beside this file.
const require = createRequire(join(process.env.GRID_MODULES, "here.js"));
const hub = require("@huggingface/hub");

const [name, casePath] = process.argv.slice(2);
const given = JSON.parse(readFileSync(casePath, "utf8"));
const hubUrl = given.endpoint;
const model = given.repos.model;
const dataset = given.repos.dataset;
const gated = given.repos.gated;
const EMPTY = "empty.txt";
const ODD = "nested/with space + #1 100%.txt";
const inDataset = { type: "dataset", name: dataset.id };

const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const paths = (repo) => Object.keys(repo.files.main).sort();

function equal(found, expected, what) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: expected ${right.slice(0, 120)}, found ${(left ?? "nothing").slice(0, 120)}`);
}

async function listed(options) {
  const found = [];
  for await (const entry of hub.listFiles({ hubUrl, recursive: true, ...options })) found.push(entry);
  return found;
}

const files = (entries) => entries.filter((entry) => entry.type === "file").map((entry) => entry.path).sort();

async function bytesOf(options) {
  const blob = await hub.downloadFile({ hubUrl, ...options });
  if (blob === null) return null;
  return Buffer.from(await blob.arrayBuffer());
}

const tasks = {
  async listFiles() {
    const entries = await listed({ repo: model.id });
    equal(files(entries), paths(model), "files of the model");
    const weights = entries.find((entry) => entry.path === "model.safetensors");
    equal(weights.lfs?.oid, model.files.main["model.safetensors"].sha256, "lfs.oid");
    equal(files(await listed({ repo: inDataset })), paths(dataset), "files of the dataset");
    equal(files(await listed({ repo: model.id, path: "nested/a" })), ["nested/a/b/deep.txt"], "files of a folder");
    const many = given.repos.many;
    equal(files(await listed({ repo: many.id })), paths(many), "many files");
  },

  async downloadFile() {
    for (const [repo, told] of [[model.id, model], [inDataset, dataset]]) {
      for (const path of paths(told).filter((path) => path !== EMPTY && path !== ODD)) {
        const found = await bytesOf({ repo, path });
        equal(found && sha256(found), told.files.main[path].sha256, path);
      }
    }
    for (const revision of ["v1", "dev/next", model.tags.v1]) {
      const told = model.files[revision === model.tags.v1 ? "v1" : revision];
      const found = await bytesOf({ repo: model.id, path: "README.md", revision });
      equal(found && sha256(found), told["README.md"].sha256, `README.md at ${revision}`);
    }
    const part = await hub.downloadFile({ hubUrl, repo: model.id, path: "model.safetensors" });
    equal((await part.slice(7_000_000, 7_000_100).arrayBuffer()).byteLength, 100, "bytes of a slice");
    equal(await bytesOf({ repo: model.id, path: "no-such-file" }), null, "a missing file");
  },

  async emptyFile() {
    equal((await bytesOf({ repo: model.id, path: EMPTY }))?.length, 0, EMPTY);
  },

  async oddName() {
    const found = await bytesOf({ repo: model.id, path: ODD });
    equal(found && sha256(found), model.files.main[ODD].sha256, ODD);
  },

  async snapshotDownload() {
    const cacheDir = join(given.folder, "cache");
    mkdirSync(cacheDir, { recursive: true });
    const folder = await hub.snapshotDownload({ hubUrl, repo: model.id, revision: "v1", cacheDir });
    const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
    const expected = model.files.v1;
    equal(found.length, Object.keys(expected).length, "number of files");
    for (const path of Object.keys(expected)) {
      equal(sha256(readFileSync(join(folder, path))), expected[path].sha256, path);
    }
  },

  async fileExists() {
    equal(await hub.fileExists({ hubUrl, repo: model.id, path: "model.safetensors" }), true, "an LFS file");
    equal(await hub.fileExists({ hubUrl, repo: model.id, path: "config.json" }), true, "a file");
    equal(await hub.fileExists({ hubUrl, repo: model.id, path: "no-such-file" }), false, "no file");
    equal(await hub.fileExists({ hubUrl, repo: inDataset, path: "data/train.jsonl" }), true, "a file of a dataset");
  },

  async modelInfo() {
    const found = await hub.modelInfo({ hubUrl, name: model.id, additionalFields: ["sha", "siblings"] });
    equal([found.name, found.sha, found.private], [model.id, model.branches.main, false], "model");
    equal((await hub.modelInfo({ hubUrl, name: model.id, revision: "v1", additionalFields: ["sha"] })).sha, model.tags.v1, "v1");
    equal((await hub.datasetInfo({ hubUrl, name: dataset.id })).name, dataset.id, "dataset");
  },

  async pathsInfo() {
    const asked = ["config.json", "model.safetensors", "nested", "no-such-file"];
    const found = await hub.pathsInfo({ hubUrl, repo: model.id, paths: asked });
    equal(found.map((entry) => entry.path).sort(), asked.slice(0, 3), "paths");
    const weights = found.find((entry) => entry.path === "model.safetensors");
    equal(weights.lfs.oid, model.files.main["model.safetensors"].sha256, "lfs.oid");
  },

  async pathsInfoExpanded() {
    const expanded = await hub.pathsInfo({ hubUrl, repo: model.id, paths: ["config.json"], expand: true });
    equal(typeof expanded[0].lastCommit?.id, "string", "lastCommit");
  },

  async gated() {
    const asked = { repo: gated.id, path: "secret.bin" };
    const found = await bytesOf({ ...asked, accessToken: given.tokens.granted });
    equal(found && sha256(found), gated.files.main["secret.bin"].sha256, "with the right");
    for (const accessToken of [undefined, given.tokens.other]) {
      const error = await bytesOf({ ...asked, accessToken }).then(
        (bytes) => new Error(`got ${bytes?.length} bytes`),
        (reason) => reason,
      );
      equal(error.statusCode, accessToken ? 403 : 401, `refusal (${error.message})`);
    }
  },
};

try {
  await tasks[name]();
  console.log("{}");
} catch (error) {
  console.error(error);
  console.log(JSON.stringify({ failed: String(error).split("\n")[0].slice(0, 300) }));
  process.exitCode = 1;
}
