// Loaded by every node of the grid: as sitecustomize.py, for clients that ask no proxy.

import { appendFileSync } from "node:fs";
import net from "node:net";

const allowed = new Set((process.env.GRID_ALLOWED ?? "").split(","));
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  const address = `${options?.host ?? "localhost"}:${options?.port}`;
  if (options?.port !== undefined && !allowed.has(address)) appendFileSync(process.env.GRID_NOTES, `${address}\n`);
  return connect.apply(this, given);
};
