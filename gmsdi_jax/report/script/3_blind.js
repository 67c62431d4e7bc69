// The blind test: two methods without names, votes, and their export.

const VOTES = `gmsdi-votes-${data.run}`;
const COLUMNS = ["trial", "song", "stem", "a", "b", "vote", "preferred", "seconds", "time"];

function random(below) { // without the bias of a remainder
  const word = new Uint32Array(1), limit = 2 ** 32 - (2 ** 32 % below);
  do crypto.getRandomValues(word); while (word[0] >= limit);
  return word[0] % below;
}

function shuffled(list) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

const trial = {
  on: false, left: [], now: null, votes: store.get(VOTES, []), began: 0, asked: 0,

  methods() { // what can be compared at all
    const names = Object.values(data.songs).flatMap((s) => s.versions.map((v) => v.name));
    return [...new Set(names)].filter((name) => name !== MIXTURE && name !== REFERENCE);
  },

  pairs(chosen) { // every song, sounding stem and pair, in random order
    const made = [];
    for (const [song, { versions, sounding }] of Object.entries(data.songs)) {
      const file = (name, stem) => versions.find((v) => v.name === name)?.files[stem];
      for (const stem of sounding.filter((stem) => file(REFERENCE, stem))) {
        const able = chosen.filter((name) => file(name, stem));
        able.forEach((a, i) => able.slice(i + 1).forEach((b) => {
          made.push({ song, stem, pair: shuffled([a, b]) });
        }));
      }
    }
    return shuffled(made);
  },

  label(version) {
    return this.now?.pair[0] === version ? "A" : this.now?.pair[1] === version ? "B" : version;
  },

  chosen() { return $$("#contenders input:checked").map((box) => box.value); },

  enter() {
    if (this.methods().length < 2) { toast("A blind test needs the sounds of two methods."); return; }
    deck.pause();
    const own = this.methods().filter((name) => !data.baselines.includes(name));
    const preset = own.length > 1 ? own : [...own, ...this.methods().filter((m) => !own.includes(m))].slice(0, 2);
    $("#contenders").replaceChildren($("#contenders legend"), ...this.methods().map((name) => {
      const label = document.createElement("label"), box = document.createElement("input");
      Object.assign(box, { type: "checkbox", value: name, checked: preset.includes(name) });
      box.addEventListener("change", () => this.count());
      label.append(box, ` ${name}`);
      return label;
    }));
    this.on = true;
    this.count();
    this.view(this.votes.length ? "end" : "start");
    $("#blind").showModal();
  },

  count() {
    const count = this.pairs(this.chosen()).length;
    $("#trial-count").textContent = count ? `${count} trials; stop when you like` : "Choose two methods.";
    $("[data-act=begin]").disabled = !count;
  },

  view(name) {
    for (const part of $$("#blind [data-view]")) part.hidden = part.dataset.view !== name;
    const many = this.votes.length;
    $("#vote-count").textContent = many === 1 ? "1 vote" : `${many} votes`;
    if (name === "end") $("#results").hidden = true;
  },

  begin() {
    this.left = this.pairs(this.chosen());
    this.asked = this.left.length;
    this.view("trial");
    this.next();
  },

  next() {
    deck.pause();
    this.now = this.left.pop() ?? null;
    if (!this.now) { this.view("end"); return; }
    const { song, stem } = this.now;
    deck.load(song);
    deck.solo = new Set([stem]);
    deck.mute.clear();
    $("#trial-number").textContent = `Trial ${this.asked - this.left.length} of ${this.asked}`;
    $("#trial-title").textContent = `${data.stems[stem]} in ${data.songs[song].name}`;
    this.began = Date.now();
    deck.seek(0);
    this.hear("R");
  },

  hear(option) {
    if (!this.now) return;
    deck.hear({ R: REFERENCE, A: this.now.pair[0], B: this.now.pair[1], X: MIXTURE }[option]);
    for (const button of $$("[data-act=option]")) {
      button.setAttribute("aria-pressed", String(button.dataset.option === option));
    }
  },

  vote(choice) {
    if (!this.now) return;
    const { song, stem, pair: [a, b] } = this.now, time = new Date();
    this.votes.push({
      trial: this.votes.length + 1, song: data.songs[song].name, stem: data.stems[stem], a, b,
      vote: choice, preferred: choice === "A" ? a : choice === "B" ? b : "",
      seconds: ((time - this.began) / 1000).toFixed(1), time: time.toISOString(),
    });
    store.set(VOTES, this.votes);
    this.next();
  },

  csv() {
    const cell = (x) => (/[",\r\n]/.test(x) ? `"${String(x).replaceAll('"', '""')}"` : String(x));
    const lines = this.votes.map((vote) => COLUMNS.map((name) => cell(vote[name])).join(","));
    return [COLUMNS.join(","), ...lines, ""].join("\r\n");
  },

  export() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    link.download = `votes-${data.run}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  },

  reveal() {
    const tally = new Map();
    const row = (name) => tally.get(name) ?? tally.set(name, [0, 0, 0]).get(name);
    for (const { a, b, preferred } of this.votes) {
      for (const name of [a, b]) row(name)[preferred === name ? 0 : preferred ? 1 : 2] += 1;
    }
    const lines = [...tally].sort((x, y) => y[1][0] - x[1][0] || x[1][1] - y[1][1]);
    const table = document.createElement("table");
    const cells = (kind, list) => {
      const tr = table.insertRow();
      for (const text of list) tr.appendChild(document.createElement(kind)).textContent = text;
    };
    cells("th", ["Method", "preferred", "not preferred", "no difference"]);
    for (const [name, counts] of lines) cells("td", [name, ...counts]);
    $("#results").replaceChildren(table);
    $("#results").hidden = false;
  },

  leave() { if ($("#blind").open) $("#blind").close(); },

  closed() {
    deck.pause();
    this.on = false;
    this.now = null;
    deck.clear();
  },
};
