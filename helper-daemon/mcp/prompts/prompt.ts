/** A way of working that a person can ask for by name. */
export interface PromptArgument<Name extends string = string> {
  readonly name: Name;
  readonly description: string;
  readonly required?: true;
  /** Names a workspace, so that names can be completed. */
  readonly workspace?: true;
}

export interface Prompt<Name extends string = string> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: readonly PromptArgument<Name>[];
  /** What the model is told. */
  text(given: Readonly<Partial<Record<Name, string>>>): string;
}

/** Lets the arguments' names decide what `text` gets. */
export function definePrompt<const Name extends string>(prompt: Prompt<Name>): Prompt {
  return prompt;
}
