/** Why there is no channel; the message completes "the agent cannot be reached: …". */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}
