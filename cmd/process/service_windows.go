package process

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/windows/svc"
)

// AsService runs what the service of a name runs, under the service manager if that has started
// this process.
func AsService(ctx context.Context, name string, run func(context.Context) error) error {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return run(ctx)
	}
	s := &managed{ctx: ctx, run: run}
	if err := svc.Run(name, s); err != nil {
		return fmt.Errorf("running as a service: %w", err)
	}
	return s.err
}

// stopTime is how long the manager may wait for the end: what drains takes 30 seconds at most.
const stopTime = 40 * time.Second

// managed is a service as its manager sees it.
type managed struct {
	ctx context.Context
	run func(context.Context) error
	err error // how run ended
}

// Execute runs the service until the manager ends it, or it ends by itself.
func (m *managed) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx) }()
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending, WaitHint: uint32(stopTime.Milliseconds())}
				cancel()
			}
		case m.err = <-ended:
			if m.err != nil {
				return true, 1
			}
			return false, 0
		}
	}
}
