package main

import "os"

// passedOn are none: a console sends its signals to all of its programs.
func passedOn() []os.Signal { return []os.Signal{os.Interrupt} }

func controlled() bool { return true }

func terminate(p *os.Process) error { return p.Kill() }

func bySignal(*os.ProcessState) int { return 0 }
