// Keeps a device's curve up to date while its page is open: asks for it again, and puts it in place of the old one.
// Not while nobody looks, while it is paused, or while somebody is at work in it: with the keyboard, or selecting text.
"use strict";
{
  const LONGEST_WAIT = 300; // seconds, where the service does not answer
  const place = document.querySelector("[data-now]");
  const button = document.querySelector("[data-pause]");
  const trouble = document.querySelector("[data-trouble]");
  let failures = 0;

  const wait = () => Number(place.querySelector("[data-wait]")?.dataset.wait);
  const isPaused = () => button.getAttribute("aria-pressed") === "true";
  const isInUse = () => place.contains(document.activeElement) || getSelection().type === "Range";

  const put = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    place.replaceChildren(...fresh.body.childNodes);
  };

  const update = async () => {
    const answer = await fetch(place.dataset.now, { redirect: "manual" });
    if (answer.type === "opaqueredirect") location.reload(); // the session is over: the page leads to the sign-in
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const text = await answer.text();
    if (!isPaused() && !isInUse()) put(text);
  };

  const tick = async () => {
    if (!document.hidden && !isPaused() && !isInUse()) {
      try {
        await update();
        failures = 0;
        trouble.textContent = "";
      } catch {
        failures += 1;
        trouble.textContent = "Not up to date: the service does not answer.";
      }
    }
    plan();
  };

  const plan = () => {
    if (wait()) setTimeout(tick, Math.min(wait() * 2 ** failures, LONGEST_WAIT) * 1000);
  };

  if (place && button) {
    button.hidden = false;
    button.addEventListener("click", () => button.setAttribute("aria-pressed", String(!isPaused())));
    plan();
  }
}
