// The page: what the switches, pictures, clocks and colours show.

const card = () => (deck.song === null ? null : $(`#song-${deck.song}`));

function paint() {
  const here = card(), names = title(trial.on ? trial.label(deck.version) : deck.version);
  $("#transport").hidden = !here;
  document.body.classList.toggle("playing", deck.playing);
  for (const button of $$("[data-act=play]")) {
    button.setAttribute("aria-label", deck.playing ? "Pause" : "Play");
  }
  move();
  if (!here) return;
  const solo = [...deck.solo].map((stem) => data.stems[stem]);
  $("#now-song").textContent = data.songs[deck.song].name;
  $("#now-version").textContent = solo.length && deck.version !== MIXTURE
    ? `${names}: ${solo.join(", ")}` : names;
  $("#step-name").textContent = names;
  for (const box of $$(".song.loaded")) box.classList.toggle("loaded", box === here);
  here.classList.add("loaded");
  for (const button of $$(".versions [data-act=hear]", here)) {
    button.setAttribute("aria-pressed", String(button.dataset.version === deck.version));
  }
  if (deck.version !== MIXTURE && deck.version !== REFERENCE) show(here, deck.version);
  for (const lane of $$(".lane[data-stem]", here)) {
    const stem = Number(lane.dataset.stem);
    $("[data-act=solo]", lane).setAttribute("aria-pressed", String(deck.solo.has(stem)));
    $("[data-act=mute]", lane).setAttribute("aria-pressed", String(deck.mute.has(stem)));
    const silenced = deck.solo.size ? !deck.solo.has(stem) : deck.mute.has(stem);
    lane.classList.toggle("silenced", silenced);
    for (const strip of $$(".strip", lane)) {
      const mine = (strip.dataset.part === "true") === (deck.version === REFERENCE);
      strip.classList.toggle("heard", mine && !silenced && deck.version !== MIXTURE);
    }
  }
  $(".strip.mix", here).classList.toggle("heard", deck.version === MIXTURE);
}

function show(here, version) { // the pictures, curves and scores of the method that is heard
  const found = data.songs[deck.song].versions.find((v) => v.name === version);
  for (const strip of $$(".strip.made", here)) {
    const picture = found.pictures[Number(strip.dataset.stem)], image = $("img", strip);
    strip.hidden = !picture;
    if (!picture || image.getAttribute("src") === picture) continue;
    image.src = picture;
    image.alt = `Spectrogram: ${data.stems[Number(strip.dataset.stem)]}, ${version}`;
    Object.assign($(".corner", strip).dataset, { version });
    $(".corner", strip).textContent = version;
  }
  const marked = $$(".curve path, .score span", here);
  if (!marked.some((mark) => mark.dataset.version === version)) return;
  for (const mark of marked) mark.classList.toggle("on", mark.dataset.version === version);
}

function move() { // the playhead, the clock and the slider
  const at = deck.position, all = deck.seconds;
  card()?.querySelector(".mixer").style.setProperty("--at", all ? at / all : 0);
  for (const label of $$(".clock")) label.textContent = `${clock(at)} / ${clock(all)}`;
  for (const slider of $$("input.seek")) {
    slider.max = all;
    if (!slider.matches(":active")) slider.value = at;
    slider.style.setProperty("--at", all ? at / all : 0);
    slider.setAttribute("aria-valuetext", `${clock(at)} of ${clock(all)}`);
  }
}
(function frame() {
  if (deck.playing) move();
  requestAnimationFrame(frame);
})();

function open(by) { // the next or previous song with sound
  const songs = $$("details.song.sounds"), here = songs.indexOf(card());
  const next = songs[clamp(here + by, 0, songs.length - 1)];
  if (!next || here === songs.indexOf(next)) return;
  const playing = deck.playing;
  next.open = true;
  deck.load(next.dataset.song);
  next.scrollIntoView({ block: "start", behavior: "smooth" });
  if (playing) deck.play();
}

const theme = store.get("gmsdi-theme", "auto");
function dress(choice) {
  document.documentElement.dataset.theme = choice;
  $("#theme").textContent = { auto: "Auto", dark: "Dark", light: "Light" }[choice];
  const said = { auto: "as the system", dark: "dark", light: "light" }[choice];
  $("[data-act=theme]").setAttribute("aria-label", `Theme: ${said}`);
  store.set("gmsdi-theme", choice);
}
dress(theme);
