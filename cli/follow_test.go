package cli_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// TestAuditFollow: what is done is shown as it is done, until interrupted.
func TestAuditFollow(t *testing.T) {
	endpoint := startRealPlane(t)
	client, err := endpoint.client(endpoint.token)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	if _, err := api.Invoke[mezu.Organization](t.Context(), client, api.OpCreateOrganization, mezu.Organization{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MEZU_API": endpoint.url, "MEZU_CA_FILE": endpoint.caFile, "MEZU_TOKEN": endpoint.token, "MEZU_ORG": "acme"}
	out, in := io.Pipe()
	inv := invocation.Invocation{
		Streams: terminal.Streams{In: strings.NewReader(""), Out: in, Err: io.Discard}, Getenv: func(k string) string { return env[k] },
		Dir: t.TempDir(), Profiles: profile.Store{Dir: t.TempDir()},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go follow(ctx, inv, in, code)
	// A watch begins at some moment from now on: one of these is after it.
	lines := make(chan string, 1)
	go firstLine(out, lines)
	for name := 'a'; ; name++ {
		if name > 'z' {
			t.Fatal("nothing was shown")
		}
		if _, err := api.Invoke[mezu.Project](t.Context(), client, api.OpCreateProject, mezu.Project{Name: string(name)}, "acme"); err != nil {
			t.Fatal(err)
		}
		if line, ok := within(lines); ok {
			if !strings.Contains(line, "\tcreate-project\tdone\tproject ") {
				t.Errorf("%q", line)
			}
			break
		}
	}
	cancel()
	if got := <-code; got != exit.Interrupted {
		t.Errorf("exit code %d", got)
	}
}

func follow(ctx context.Context, inv invocation.Invocation, out *io.PipeWriter, code chan<- int) {
	got := cli.Main(ctx, []string{"audit", "--follow"}, inv, cli.Config{})
	out.Close()
	code <- got
}

// firstLine gives the first line and takes the rest.
func firstLine(r io.Reader, lines chan<- string) {
	for s := bufio.NewScanner(r); s.Scan(); {
		select {
		case lines <- s.Text():
		default:
		}
	}
}

// within waits a moment for a line.
func within(lines <-chan string) (string, bool) {
	select {
	case line := <-lines:
		return line, true
	case <-time.After(time.Second):
		return "", false
	}
}

// TestAuditFollowSaysItOnce: a control plane that is away is asked again and again, and that is one
// line.
func TestAuditFollowSaysItOnce(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	env := map[string]string{"MEZU_API": "https://" + gone.Addr().String(), "MEZU_TOKEN": mezu.NewToken(mezu.TokenBearer), "MEZU_ORG": "acme"}
	var talk testkit.Buffer
	inv := invocation.Invocation{
		Streams: terminal.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk}, Getenv: func(k string) string { return env[k] },
		Dir: t.TempDir(), Profiles: profile.Store{Dir: t.TempDir()},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a dozen tries
	defer cancel()
	cli.Main(ctx, []string{"audit", "--follow"}, inv, cli.Config{})
	if n := strings.Count(talk.String(), "trying again"); n != 1 {
		t.Errorf("it says so %d times:\n%s", n, talk.String())
	}
}
