// Package cli is the command line: one file a command.
//
// In: arguments, the config file, the data directory and the control socket of
// a running gateway. Out: text for people on standard output, mistakes on
// standard error, and with --json the same for programs.
//
// Exit codes: 0 all is well, 1 a problem was found or the work failed, 2 the
// command was called wrongly. Colours are used on a terminal only, and never
// when NO_COLOR is set. It is the one place, beside gateway, where rooms are
// wired together. It must never print a secret, overwrite a file unasked, or
// change a running gateway other than through its control socket.
package cli
