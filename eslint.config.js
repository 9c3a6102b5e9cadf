// Lint rules; the invariants of the design are in scripts/lint/.
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { exportRule, fileNameRule } from './scripts/lint/houseRules.ts';
import { layerRule } from './scripts/lint/layerRule.ts';

const house = {
  rules: { layers: layerRule, 'file-name': fileNameRule, exports: exportRule },
};

/** Programs that own their process and may end it. */
const mains = [
  'helper-daemon/main.ts',
  'helper-daemon/cli/main.ts',
  'scripts/*.ts',
  'scripts/bootstrap.mjs',
  'test/**/main.ts',
];

export default defineConfig(
  globalIgnores([
    'dist/',
    'out/',
    'coverage/',
    'bench-results/',
    'guest-agent/',
    'helper-daemon/guest/gen/',
    'test/vscode/bed/',
  ]),
  {
    files: ['**/*.{ts,js,mjs}'],
    plugins: { coppice: house },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'coppice/layers': 'error',
      'coppice/file-name': 'error',
      'coppice/exports': 'error',
      'max-lines': ['error', 500],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      curly: ['error', 'multi-line'],
      'no-var': 'error',
      'prefer-const': 'error',
      'object-shorthand': 'error',
      'no-else-return': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.object.name='process'][callee.property.name='exit']",
          message: 'Only a main file ends the process; throw, or set process.exitCode.',
        },
        {
          selector: 'TSEnumDeclaration',
          message: 'Use a union of literals or an `as const` object.',
        },
        { selector: "Identifier[name='__dirname']", message: 'Use import.meta.dirname.' },
      ],
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      // Sockets, signals and state machines change while a function waits; the compiler does not see that.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // JSON is read into the type that the protocol says it has.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-empty-object-type': [
        'error',
        { allowInterfaces: 'with-single-extends' },
      ],
      '@typescript-eslint/no-invalid-void-type': ['error', { allowInGenericTypeArguments: true }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      // Objects here come from factory functions, not from classes: their methods need no `this`.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    // What a user sees goes through one writer per program, never through a stray console.log.
    files: ['protocol/**', 'extension/**', 'helper-daemon/**'],
    ignores: ['helper-daemon/cli/**', 'helper-daemon/main.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    files: ['test/**'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
  { files: mains, rules: { 'no-restricted-syntax': 'off' } },
  // Tools look for these by name and take their default export.
  {
    files: ['*.config.{js,ts}'],
    rules: { 'coppice/exports': 'off', 'coppice/file-name': 'off', 'coppice/layers': 'off' },
  },
);
