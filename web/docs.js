// The documents' pages: code is copied by a button, and the contents are open where there is room beside the text.

const wide = matchMedia("(min-width: 62rem)"), contents = document.querySelector(".contents > details");
const settle = () => contents.open = wide.matches;
wide.addEventListener("change", settle);
settle();

for (const box of document.querySelectorAll("figure.code")) {
  const button = document.createElement("button"), code = box.querySelector("code");
  button.className = "quiet";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => button.textContent = "Copy", 1500);
  });
  box.append(button);
}
