//go:build unix

package process

import "context"

// AsService runs what a service runs. Its manager speaks by signals here.
func AsService(ctx context.Context, _ string, run func(context.Context) error) error { return run(ctx) }
