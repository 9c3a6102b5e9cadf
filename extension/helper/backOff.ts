/** Pauses between attempts to reach the daemon again, in milliseconds: quick at first, then patient. */
export const reconnectPauses = [50, 150, 400, 1000, 2000, 4000, 8000] as const;

/**
 * How many attempts a daemon gets whose socket is gone. A restart takes the socket away for a moment; a
 * daemon that was stopped on purpose takes it away for good, and starting it again is the user's choice.
 */
export const stoppedAfterAttempts = 4;
