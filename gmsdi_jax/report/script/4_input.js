// Clicks and keys.

const actions = {
  play: () => { if (deck.song === null) open(1); if (deck.song !== null) deck.playing ? deck.pause() : deck.play(); },
  hear: (el) => { deck.load(el.closest("details").dataset.song); deck.hear(el.dataset.version); },
  solo: (el) => { deck.load(el.closest("details").dataset.song); deck.toggle(deck.solo, Number(el.dataset.stem)); },
  mute: (el) => { deck.load(el.closest("details").dataset.song); deck.toggle(deck.mute, Number(el.dataset.stem)); },
  previous: () => deck.step(-1),
  next: () => deck.step(1),
  theme: () => dress({ auto: "dark", dark: "light", light: "auto" }[document.documentElement.dataset.theme]),
  keys: () => $("#keys").showModal(),
  blind: () => trial.enter(),
  begin: () => trial.begin(),
  option: (el) => trial.hear(el.dataset.option),
  vote: (el) => trial.vote(el.dataset.vote),
  skip: () => trial.next(),
  finish: () => { deck.pause(); trial.now = null; trial.view("end"); },
  export: () => trial.export(),
  reveal: () => trial.reveal(),
  again: () => trial.view("start"),
  forget: () => { trial.votes = []; store.set(VOTES, []); trial.view("start"); },
  leave: () => trial.leave(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) actions[button.dataset.act](button);
  // A mouse's click must not take the space key along, which plays.
  if (event.detail) event.target.closest("button, summary")?.blur();
});
document.addEventListener("pointerdown", (event) => {
  const time = event.target.closest(".time");
  if (!time || event.target.closest("button") || event.button || !time.closest(".sounds")) return;
  const box = time.getBoundingClientRect();
  deck.load(time.closest("details").dataset.song);
  deck.seek(clamp((event.clientX - box.left) / box.width, 0, 1) * deck.seconds);
});
document.addEventListener("input", (event) => {
  if (event.target.matches("input.seek")) deck.seek(Number(event.target.value));
});
for (const song of $$("details.song.sounds")) {
  song.addEventListener("toggle", () => { if (song.open && !deck.playing) deck.load(song.dataset.song); });
}
$("#blind").addEventListener("close", () => trial.closed());

const common = {
  " ": actions.play, ArrowLeft: () => deck.seek(deck.position - 2), ArrowRight: () => deck.seek(deck.position + 2),
};
const free = {
  ...common, ArrowUp: actions.previous, ArrowDown: actions.next, 0: () => deck.clear(),
  m: () => deck.toggle(deck.mute, deck.stem), r: () => deck.hear(REFERENCE), x: () => deck.hear(MIXTURE),
  n: () => open(1), p: () => open(-1), b: actions.blind, t: actions.theme, "?": actions.keys,
};
const blinded = {
  ...common, a: () => trial.hear("A"), b: () => trial.hear("B"), r: () => trial.hear("R"), x: () => trial.hear("X"),
  1: () => trial.vote("A"), 2: () => trial.vote("B"), 0: () => trial.vote("tie"),
};

document.addEventListener("keydown", (event) => {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || $("#keys").open || !$("#keys-on").checked) return;
  if (at.matches("input") && !(at.matches(".seek") && event.key in common)) return;
  if (at.matches("button, summary, a") && [" ", "Enter"].includes(event.key)) return;
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (!trial.on && digit && deck.song !== null) {
    deck.toggle(event.shiftKey ? deck.mute : deck.solo, Number(digit[1]) - 1);
  } else {
    const act = (trial.on ? blinded : free)[event.key];
    if (!act || (deck.song === null && !["b", "t", "?", "n", " "].includes(event.key))) return;
    act();
  }
  event.preventDefault();
});
