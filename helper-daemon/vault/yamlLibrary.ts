/** The YAML library, loaded with the first note that has front matter: most daemons never see one. */

import type * as yaml from 'yaml';

export type Yaml = typeof yaml;

let loaded: Promise<Yaml> | undefined;

export function loadYaml(): Promise<Yaml> {
  return (loaded ??= import('yaml'));
}
