/** The parts of ssh2 that are used, by file: its index would also load the client, agents and proxies. */
declare module 'ssh2/lib/server.js' {
  import type { Duplex } from 'node:stream';
  import type { Connection, ServerConfig } from 'ssh2';

  class Server {
    constructor(config: ServerConfig, onConnection: (connection: Connection) => void);
    /** Serves a connection on any stream. */
    injectSocket(stream: Duplex): void;
  }
  export = Server;
}

declare module 'ssh2/lib/protocol/keyParser.js' {
  import type { utils } from 'ssh2';

  const keyParser: Pick<typeof utils, 'parseKey'>;
  export = keyParser;
}
