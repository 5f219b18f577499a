// Bundles the third-party code of the dashboard into src/peerscope/web/static/vendor.
//
// `npm ci && npm run build` gives the committed files byte for byte: every version is pinned by the
// lock file, and esbuild's output depends on nothing but its input. The licence texts come from the
// packages that really ended up in a bundle, not from a list somebody must remember to update.

import { copyFile, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
// Another folder is for the test that compares what comes out with what is committed.
const vendor = process.argv[2] ?? join(here, "..", "src", "peerscope", "web", "static", "vendor");
const BUNDLES = { preact: "vendor.js", force: "force.js", charts: "charts.js", geo: "geo.js" };
const COPIES = { "uplot.css": "uplot/dist/uPlot.min.css" };

const packages = new Set();
for (const [name, entry] of Object.entries(BUNDLES)) {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    outfile: join(vendor, `${name}.js`),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    banner: { js: `/* Third-party code, built by frontend/build.js; licences in LICENSES.txt. */` },
    metafile: true,
  });
  for (const input of Object.keys(metafile.inputs)) {
    const match = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (match) packages.add(match[1]);
  }
}
for (const [name, source] of Object.entries(COPIES)) {
  await copyFile(join(here, "node_modules", source), join(vendor, name));
  packages.add(source.split("/")[0]);
}
await writeFile(join(vendor, "LICENSES.txt"), await licences([...packages].sort()));

async function licences(names) {
  const texts = await Promise.all(names.map(async (name) => {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} ${version} ships no licence text`);
    const text = (await readFile(join(folder, file), "utf8")).replace(/\r\n/g, "\n").trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  }));
  return texts.join(`\n${"-".repeat(72)}\n\n`);
}
