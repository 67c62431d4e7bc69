// The deck: plays all versions of a song in step, so that a switch between them is instant.
// Media elements play, since a page that was opened from a disk may not read its own sounds in
// any other way. The files of this folder are one script in the page, in the order of their names.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const title = (name) => ({ mixture: "Mixture", reference: "Reference" })[name] ?? name;
const MIXTURE = "mixture", REFERENCE = "reference";
const ROLLING = 40; // files that run at once: what was heard lately, so that a switch is instant

const store = { // a browser may forbid storage on pages from a disk
  get(key, otherwise) {
    try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
  },
  set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* lost */ } },
};

function toast(text) {
  const box = $("#toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { box.hidden = true; }, 6000);
}

const deck = {
  song: null, version: MIXTURE, made: null, solo: new Set(), mute: new Set(), stem: 0,
  playing: false, rest: 0, tracks: new Map(), recent: [],

  load(number) {
    if (this.song === number) return;
    this.pause();
    for (const el of this.all()) { el.removeAttribute("src"); el.load(); el.remove(); }
    this.tracks.clear();
    this.song = number;
    this.rest = 0;
    this.solo.clear();
    this.mute.clear();
    for (const version of data.songs[number].versions) {
      this.tracks.set(version.name, version.files.map((file, stem) => {
        if (!file) return null;
        const el = document.createElement("audio");
        Object.assign(el, { preload: "metadata", muted: true, preservesPitch: false, src: file });
        Object.assign(el.dataset, { version: version.name, stem });
        el.addEventListener("error", () => toast(`This browser cannot play ${file}.`));
        el.addEventListener("ended", () => { if (el === this.master()) this.stop(); });
        $("#deck").append(el);
        return el;
      }));
    }
    this.recent = [...this.tracks.keys()];
    if (!this.tracks.has(this.version)) this.version = MIXTURE;
    this.hear(this.version);
  },

  get seconds() { return data.songs[this.song]?.seconds ?? 0; },
  get position() { return this.playing ? this.master().currentTime : this.rest; },
  get versions() { return [...this.tracks.keys()]; },
  all() { return [...this.tracks.values()].flat().filter(Boolean); },

  rolling() { // whole versions, the ones heard last first
    let room = ROLLING;
    const chosen = this.recent.filter((name, place) => {
      room -= this.tracks.get(name).filter(Boolean).length;
      return place === 0 || room >= 0;
    });
    return chosen.flatMap((name) => this.tracks.get(name)).filter(Boolean);
  },

  audible(el) {
    const stem = Number(el.dataset.stem);
    if (el.dataset.version !== this.version) return false;
    if (this.version === MIXTURE) return true;
    return this.solo.size ? this.solo.has(stem) : !this.mute.has(stem);
  },

  master() { // the one that the others follow, at its own speed
    const own = this.tracks.get(this.version).filter(Boolean);
    return own.find((el) => this.audible(el)) ?? own[0];
  },

  async play() {
    const rolling = this.rolling();
    this.playing = true;
    for (const el of rolling) this.cue(el);
    paint();
    const ready = (el) => el.readyState >= 3 || el.error;
    const last = performance.now() + 3000;
    while (!rolling.every(ready) && performance.now() < last) {
      await new Promise((resume) => setTimeout(resume, 20));
      if (!this.playing) return;
    }
    this.mixdown();
    const started = await Promise.allSettled(rolling.map((el) => el.play()));
    if (started.every((result) => result.status === "rejected")) {
      this.pause();
      toast("The browser did not start the sound: press play again.");
    }
  },

  cue(el) {
    el.preload = "auto";
    if (Math.abs(el.currentTime - this.rest) > 0.005) el.currentTime = this.rest;
  },

  pause() {
    if (!this.playing) return;
    this.rest = this.position;
    this.playing = false;
    for (const el of this.all()) { el.pause(); el.playbackRate = 1; }
    paint();
  },

  stop() { this.pause(); this.seek(0); },

  seek(seconds) {
    this.rest = clamp(seconds, 0, Math.max(this.seconds - 0.05, 0));
    for (const el of this.playing ? this.rolling() : []) el.currentTime = this.rest;
    paint();
  },

  hear(version) { // the position does not move: the other version is running already
    if (!this.tracks.has(version)) return;
    const at = this.position;
    this.version = version;
    if (version !== MIXTURE && version !== REFERENCE) this.made = version;
    this.recent = [version, ...this.recent.filter((name) => name !== version)];
    const rolling = new Set(this.rolling());
    for (const el of this.all()) {
      if (!rolling.has(el)) el.pause();
      else if (!this.playing) el.preload = "auto";
      else if (el.paused) { el.currentTime = at; el.play().catch(() => {}); }
    }
    this.mixdown();
    paint();
  },

  mixdown() { for (const el of this.all()) el.muted = !this.audible(el); },

  keepStep() { // offsets are bent away, gently where one hears it; large ones are jumped over
    if (!this.playing) return;
    const master = this.master(), at = master.currentTime;
    if (master.paused || master.seeking) return;
    master.playbackRate = 1;
    for (const el of this.rolling()) {
      if (el === master || el.seeking || el.ended) continue;
      const off = el.currentTime - at, most = el.muted ? 0.5 : 0.04;
      if (el.paused) { el.currentTime = at; el.play().catch(() => {}); }
      else if (Math.abs(off) > 0.25) el.currentTime = at;
      else el.playbackRate = Math.abs(off) < 0.006 ? 1 : 1 - clamp(off / 0.3, -most, most);
    }
  },

  toggle(set, stem) {
    if (!(stem in data.stems)) return;
    if (this.version === MIXTURE) this.hear(lastSeparated());
    this.stem = stem;
    if (!set.delete(stem)) set.add(stem);
    this.mixdown();
    paint();
  },

  clear() { this.solo.clear(); this.mute.clear(); this.mixdown(); paint(); },

  step(by) {
    const names = this.versions;
    this.hear(names[(names.indexOf(this.version) + by + names.length) % names.length]);
  },
};
setInterval(() => deck.keepStep(), 100);

function lastSeparated() { // what a solo asks for while the mixture is heard
  const made = [deck.made, data.judged, ...deck.versions.slice(2), REFERENCE];
  return made.find((name) => deck.tracks.has(name)) ?? MIXTURE;
}
