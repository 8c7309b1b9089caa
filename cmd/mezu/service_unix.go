//go:build unix

package main

import "context"

// asService runs what a service runs. Its manager speaks by signals here.
func asService(ctx context.Context, run func(context.Context) error) error { return run(ctx) }
