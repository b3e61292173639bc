// wasi.mjs - runs a WebAssembly program of WASI in node (16 or later): node tests/wasi.mjs PROGRAM.wasm [ARGUMENT...]
// The program sees the current folder. Its exit status is node's.
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const args = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args, env: process.env, preopens: { '.': '.' }, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(args[0]));
const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
process.exitCode = wasi.start(instance);
