package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Names of figures about patterns.
const (
	figHostileCost     = "ms that the dearest path costs the edge"
	figBesideHostile   = "beside 100 of them a second"
	figHostilePatterns = "patterns"
)

const (
	// hostilePause lies between two hostile requests while others are timed.
	hostilePause = 10 * time.Millisecond
	// hostileTimes is how many of each kind are timed one after the other.
	hostileTimes = 200
)

// dearestRoutes are as many of the most expensive patterns as are accepted. Each has a
// table of some KiB, and a path of a and b touches all parts of it.
func dearestRoutes() []mezu.Route {
	routes := []mezu.Route{{Exact: "/ready"}}
	for i := 0; ; i++ {
		more := append(slices.Clone(routes), mezu.Route{Regexp: fmt.Sprintf("/.*a.{7}b%03d", i)})
		if mezu.ValidateRoutes(context.Background(), "", more) != nil {
			return routes
		}
		routes = more
	}
}

// dearestPath is as long as a path may be that these patterns read.
func dearestPath() string {
	path := []byte("/")
	for len(path) < mezu.MaxRegexpPath {
		path = append(path, "ab"[rand.IntN(2)])
	}
	return string(path)
}

// takePatterns measures what one request costs the edge in an environment with the most
// expensive patterns that are accepted, and how long small requests to another environment
// take meanwhile.
func takePatterns(ctx context.Context, b *bench, round int) error {
	if b.in == nil {
		return errNotOurs
	}
	name := "patterns-" + strconv.Itoa(round)
	host, _, err := b.in.addEnvironment(ctx, name)
	if err != nil {
		return err
	}
	routes := dearestRoutes()
	if _, err := api.Invoke[api.RoutesState](ctx, b.in.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: routes}, name, "load", mezu.EnvironmentProduction); err != nil {
		return err
	}
	hostile := b.ours
	hostile.host = host
	// It has no Warpgate; before the edge knows it, and for what no route matches, the
	// answer is 404.
	for _, known := range []struct {
		path   string
		status int
	}{{"/ready", 503}, {"/other", 404}} {
		if err := awaitStatus(ctx, hostile, known.path, known.status); err != nil {
			return err
		}
	}
	path := dearestPath()
	dear, cheap, err := timeInTurn(ctx, hostile, path, "/")
	if err != nil {
		return err
	}
	b.results.put(round, "patterns", nameOurs, figHostileCost, dear-cheap)
	b.results.put(round, "patterns", nameOurs, figHostilePatterns, float64(len(routes)-1))
	took, err := smallRequests(ctx, b.ours, crowdLength)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "patterns", nameOurs, figAlone, took)
	file := filepath.Join(b.dir, name+".path")
	if err := os.WriteFile(file, []byte(path), 0o600); err != nil {
		return err
	}
	attacker, _, err := b.startHelper("hostile", "-addr", hostile.addr, "-host", host, "-path", file)
	if err != nil {
		return err
	}
	defer attacker.stop()
	if took, err = smallRequests(ctx, b.ours, crowdLength); err != nil {
		return err
	}
	putPercentiles(b, round, "patterns", nameOurs, figBesideHostile, took)
	return nil
}

// awaitStatus asks until the answer has this status.
func awaitStatus(ctx context.Context, t target, path string, status int) error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(pollPause) {
		err := askFor(ctx, t, path, status)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

func askFor(ctx context.Context, t target, path string, status int) error {
	c, err := dial(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.refused(t.head("GET", path, ""), status)
}

// refused makes one request and reads the answer, which has this status.
func (c *conn) refused(head []byte, status int) error {
	c.SetDeadline(time.Now().Add(answerTime))
	if _, err := c.Write(head); err != nil {
		return err
	}
	n, err := c.answer(status)
	if err != nil {
		return err
	}
	return discard(c.r, n)
}

// timeInTurn gives the median milliseconds of two requests that are refused with 404.
func timeInTurn(ctx context.Context, t target, one, two string) (first, second float64, err error) {
	c, err := dial(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	heads := [2][]byte{t.head("GET", one, ""), t.head("GET", two, "")}
	var took [2][]float64
	for range hostileTimes {
		for i, head := range heads {
			begin := time.Now()
			if err := c.refused(head, 404); err != nil {
				return 0, 0, err
			}
			took[i] = append(took[i], milliseconds(time.Since(begin)))
		}
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return percentile(took[0], 50), percentile(took[1], 50), nil
}

// runHostile asks for the path of a file at a steady pace.
func runHostile(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("hostile", flag.ContinueOnError)
	t := target{secure: true}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	file := f.String("path", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	path, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	c, err := dial(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close()
	head := t.head("GET", string(path), "")
	fmt.Fprintln(out, "begins")
	tick := time.NewTicker(hostilePause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.refused(head, 404); err != nil {
				return errors.Join(err, ctx.Err())
			}
		case <-ctx.Done():
			return nil
		}
	}
}
