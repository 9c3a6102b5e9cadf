/** `coppice/layers`: imports follow the table in layers.ts. */
import path from 'node:path';
import type { Rule } from 'eslint';
import { freeFolders, isWithin, layerOf, layers, reservedPackages } from './layers.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** `node:child_process` and `child_process` are one thing, and so are `execa` and `execa/sub`. */
function packageName(specifier: string): string {
  const parts = specifier.replace(/^node:/, '').split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier);
}

function problemWithPackage(file: string, specifier: string): string | undefined {
  const name = packageName(specifier);
  const places = reservedPackages[name];
  if (places !== undefined && !places.some((place) => isWithin(file, place))) {
    return `${name} may be imported only in ${places.join(', ')}.`;
  }
  const layer = layerOf(file);
  const allowed = layer === undefined ? undefined : layers[layer]?.packages;
  if (layer !== undefined && allowed !== undefined && !allowed.includes(name)) {
    return `${layer}/ imports ${allowed.length === 0 ? 'no packages' : `only ${allowed.join(', ')}`}.`;
  }
  return undefined;
}

function problemWithFile(file: string, target: string): string | undefined {
  if (freeFolders.some((folder) => isWithin(file, folder))) return undefined;
  const from = layerOf(file);
  const to = layerOf(target);
  if (from === undefined) {
    return `${file} is in no layer: enter its folder in scripts/lint/layers.ts.`;
  }
  if (to === undefined) return `${target} is in no layer that ${from} may import.`;
  if (from === to || layers[from]?.uses.includes(to) === true) return undefined;
  return `${from} must not import ${to}: layers call downwards only (scripts/lint/layers.ts).`;
}

export const layerRule: Rule.RuleModule = {
  meta: { type: 'problem', schema: [], docs: { description: 'imports follow the layer table' } },
  create(context) {
    const file = path.relative(root, context.filename).split(path.sep).join('/');
    function check(node: Rule.Node, specifier: unknown): void {
      if (typeof specifier !== 'string') return;
      const message = specifier.startsWith('.')
        ? problemWithFile(file, path.posix.join(path.posix.dirname(file), specifier))
        : problemWithPackage(file, specifier);
      if (message !== undefined) context.report({ node, message });
    }
    return {
      ImportDeclaration: (node) => {
        check(node, node.source.value);
      },
      ExportNamedDeclaration: (node) => {
        check(node, node.source?.value);
      },
      ExportAllDeclaration: (node) => {
        check(node, node.source.value);
      },
      ImportExpression: (node) => {
        if (node.source.type === 'Literal') check(node, node.source.value);
      },
    };
  },
};
