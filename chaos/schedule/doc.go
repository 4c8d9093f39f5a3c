// Package schedule runs a small concurrent program in every order in which its threads can take turns, and finds the
// order that breaks it.
//
// A program is a few threads that give way at points put there by hand: before each thing that another thread could get
// in between. They run as coroutines, one at a time, and at each point the explorer decides who goes on. The same
// decisions always give the same run, so an order that failed can be run again:
//
//	thread 0   start ──▶ point ──▶ point ──▶ end        a schedule: which thread takes each step
//	thread 1   start ──▶ point ──▶ end                  0 0 1 0 1
//
// A preemption is a switch away from a thread that could have gone on; a switch away from one that ended or waits is
// none. Nearly all races need very few of them, so Explore goes depth-first through all schedules with at most so many,
// or through all there are. Random draws schedules of programs that are too large for that.
//
// It owns the order of the threads and nothing else: what is right is for the program to say (Yielder.Failf, a panic, or
// Program.Finally). It knows nothing of the code under test, reads no clock, and the same program gives the same report.
//
// A thread must not give way while it holds a lock that another thread takes: the other one would wait for ever, and the
// run with it. Where the program holds a lock over several steps, Mutex stands for it.
package schedule
