/** Console output without what only a terminal understands. */

const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;
const controls = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

export function plainText(output: string): string {
  return output.replace(escapes, '').replaceAll('\r\n', '\n').replace(controls, '');
}
