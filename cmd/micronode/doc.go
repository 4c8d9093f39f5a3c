// Command micronode is the node and its client in one binary.
//
// It owns the command line: flags, exit codes, what is printed where, the files that a user names, signals. What a
// node does is impl/server, how a node is talked to is impl/client, what a setting may be is impl/config; this
// package decides none of it. With amnesia on, "run" writes no file; the client commands write exactly the files
// that they were asked for, under a temporary name beside them until they are complete and verified. A token is printed
// where one was asked for and nowhere else. What an audit export or a capability is worth is impl/audit, impl/keys and
// impl/capability; here it is only asked.
package main
