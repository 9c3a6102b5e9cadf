/** House style that no public rule covers: file names, no barrels, named exports. */
import path from 'node:path';
import type { Rule } from 'eslint';

const camelCaseFile = /^[a-z][A-Za-z0-9]*(\.(test|bench|d))?\.(ts|js|mjs)$/;

export const fileNameRule: Rule.RuleModule = {
  meta: { type: 'suggestion', schema: [], docs: { description: 'file names are camelCase' } },
  create(context) {
    return {
      Program(node) {
        const name = path.basename(context.filename);
        if (camelCaseFile.test(name)) return;
        context.report({ node, message: `Name this file in camelCase, not ${name}.` });
      },
    };
  },
};

export const exportRule: Rule.RuleModule = {
  meta: { type: 'suggestion', schema: [], docs: { description: 'named exports, no barrels' } },
  create(context) {
    return {
      ExportDefaultDeclaration(node) {
        context.report({ node, message: 'Use a named export.' });
      },
      ExportAllDeclaration(node) {
        context.report({ node, message: 'No barrels: import from the file that defines it.' });
      },
      Program(node) {
        const reexports = node.body.filter(
          (item) => item.type === 'ExportNamedDeclaration' && item.source != null,
        );
        if (reexports.length > 0 && reexports.length === node.body.length) {
          context.report({
            node,
            message: 'No barrels: this file only passes on what others define.',
          });
        }
      },
    };
  },
};
