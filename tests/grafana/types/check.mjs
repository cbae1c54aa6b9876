// node check.mjs FILE.json…: says where a dashboard is not what Grafana's types allow. Exit code 1 if anywhere.
// Each file becomes the literal of a typed constant, line by line, so that the compiler's line is the file's.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const { options, errors } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(here, 'tsconfig.json'), ts.sys.readFile).config, ts.sys, here);
const sources = new Map(process.argv.slice(2).map((file, i) => [
  join(here, `checked-${i}.ts`),
  { file, text: `import type { Dashboard } from './dashboard'; export const it: Dashboard = ${readFileSync(file, 'utf8')}` },
]));

const host = ts.createCompilerHost(options);
const { fileExists, readFile } = host;
host.fileExists = (name) => sources.has(name) || fileExists(name);
host.readFile = (name) => sources.get(name)?.text ?? readFile(name);
host.getSourceFile = (name, target) => {
  const text = host.readFile(name);
  return text === undefined ? undefined : ts.createSourceFile(name, text, target);
};

const program = ts.createProgram([...sources.keys()], options, host);
const found = [...errors, ...ts.getPreEmitDiagnostics(program)];
for (const { file, start, messageText } of found) {
  const where = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
  const name = (file && sources.get(file.fileName)?.file) ?? file?.fileName ?? 'tsconfig.json';
  console.log(`${name}:${where}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
}
process.exit(found.length > 0 || sources.size === 0 ? 1 : 0);
