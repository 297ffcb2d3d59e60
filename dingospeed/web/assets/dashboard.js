// What pages do besides what htmx does for them: say when the mirror is away, and copy to the clipboard.
"use strict";

const away = document.getElementById("away");

const troubles = {
  "htmx:sendError": "The mirror does not answer. What you see is how it was.",
  "htmx:timeout": "The mirror takes too long to answer. What you see is how it was.",
  "htmx:responseError": "The mirror refused that. Load the page again.",
};
for (const [trouble, words] of Object.entries(troubles)) {
  document.body.addEventListener(trouble, () => {
    away.textContent = words;
    away.hidden = false;
  });
}
document.body.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.successful) away.hidden = true;
});

// Pages over plain HTTP may not write to the clipboard, but they may copy what is selected.
async function copy(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
  const selection = getSelection();
  selection.selectAllChildren(element);
  if (!document.execCommand("copy")) throw new Error("not copied");
  selection.removeAllRanges();
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  const told = button.parentElement.querySelector("[role=status]");
  button.hidden = false;
  button.addEventListener("click", () => {
    copy(document.getElementById(button.dataset.copy))
      .then(() => { told.textContent = "Copied."; })
      .catch(() => { told.textContent = "Select the line and copy it by hand."; });
  });
}
