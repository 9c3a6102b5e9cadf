/** The extension's settings. */
export const settings = {
  'coppice.socketPath': {
    type: 'string',
    default: '',
    scope: 'machine',
    markdownDescription:
      'Socket of the Coppice daemon. Empty: your own daemon, started when it is needed. A daemon at another socket is never started by VS Code.',
  },
} as const;

export type SettingName = keyof typeof settings;
