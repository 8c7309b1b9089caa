//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// ciPage and deployPage are pages whose shell is executed.
const (
	ciPage     = "../../docs/ci.md"
	deployPage = "../../docs/deploy.md"
)

// blocks gives what stands between fences of one kind on a page.
func blocks(t *testing.T, kind string) []string {
	t.Helper()
	text, err := os.ReadFile(ciPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// example is a block of commands of a page, and what the page shows of their output.
type example struct{ commands, shown string }

// examples are those of one section of a page.
func examples(t *testing.T, page, section string) []example {
	t.Helper()
	_, text, ok := strings.Cut(string(testkit.ReadData(t, page)), "\n"+section+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", page, section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var out []example
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```\n(?:\n```(?:json|text)\n(.*?)```)?").FindAllStringSubmatch(text, -1) {
		out = append(out, example{m[1], m[2]})
	}
	return out
}

// githubJobs is as much of a workflow as the test runs.
type githubJobs struct {
	Jobs map[string]struct {
		Env   map[string]string `yaml:"env"`
		Steps []struct {
			Run string `yaml:"run"`
			If  string `yaml:"if"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// gitlabJob is as much of a job as the test runs.
type gitlabJob struct {
	Variables   map[string]string `yaml:"variables"`
	Script      []string          `yaml:"script"`
	AfterScript []string          `yaml:"after_script"`
}

// runner is a machine of a CI: a checkout, mezu and npm.
type runner struct {
	t                *testing.T
	checkout, bin    string
	env              []string
	tested, ciOutput string
}

func newRunner(t *testing.T, p *tunneller, port, name, key string) *runner {
	r := &runner{t: t, checkout: t.TempDir(), bin: t.TempDir(), tested: filepath.Join(t.TempDir(), "tested")}
	for name, text := range map[string]string{
		"mezu": "#!/bin/sh\nMEZU_TEST_PROGRAM=1 exec " + os.Args[0] + ` "$@"` + "\n",
		// The app serves already. Tests fail once to show that the code arrives.
		"npm": "#!/bin/sh\ntest \"$1\" = test || exit 0\necho \"$MEZU_URL\" >> " + r.tested + "\nexit ${TESTS_EXIT:-0}\n",
	} {
		if err := os.WriteFile(filepath.Join(r.bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := "organization: dev\nproject: shop\nenvironments:\n  review: {routes: [{prefix: /}]}\n"
	if err := os.WriteFile(filepath.Join(r.checkout, "mezu.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = []string{"PATH=" + r.bin + ":" + os.Getenv("PATH"), "CI=true", "HOME=" + p.env["MEZU_HOME"], "MEZU_HOME=" + p.env["MEZU_HOME"], "MEZU_CA_FILE=" + p.env["MEZU_CA_FILE"],
		"MEZU_API=" + p.env["MEZU_API"], "MEZU_TOKEN=" + key, "NAME=" + name, "PORT=" + port}
	return r
}

// run runs a step as runners do, and gives its exit code.
func (r *runner) run(step string, more ...string) int {
	r.t.Helper()
	cmd := exec.Command("sh", "-e", "-c", step)
	cmd.Dir, cmd.Env = r.checkout, append(r.env, more...)
	out, err := cmd.CombinedOutput()
	r.ciOutput += string(out)
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	if err != nil {
		r.t.Fatalf("%s: %v", step, err)
	}
	return 0
}

// TestCIPage runs the shell of docs/ci.md: with the key of a service account that has the rights
// that the page names, from the apply to the tear down. The key of docs/deploy.md is made here too.
func TestCIPage(t *testing.T) {
	world := start(t, t.TempDir())
	port := serveText(t, "app")
	p := newTunneller(t, world, nil)
	shell := blocks(t, "sh")
	if len(shell) != 2 {
		t.Fatalf("%d blocks of shell", len(shell))
	}
	var account struct {
		Key string `json:"key"`
	}
	for _, command := range []string{examples(t, deployPage, "## The key")[0].commands, shell[0]} {
		command, _, _ = strings.Cut(command, "#")
		out, _ := p.do(strings.Fields(strings.TrimPrefix(command, "mezu "))...)
		account.Key = ""
		if err := json.Unmarshal([]byte(out), &account); err != nil || mezu.ValidateKey(account.Key) != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	jobs := blocks(t, "yaml")
	if len(jobs) != 2 {
		t.Fatalf("%d jobs", len(jobs))
	}

	t.Run("GitHub Actions", func(t *testing.T) {
		var job githubJobs
		if err := yaml.Unmarshal([]byte(jobs[0]), &job); err != nil {
			t.Fatal(err)
		}
		e2e := job.Jobs["e2e"]
		r := newRunner(t, p, port, "pr-7", account.Key)
		for _, name := range []string{"MEZU_API", "MEZU_TOKEN", "NAME", "PORT"} {
			if e2e.Env[name] == "" {
				t.Errorf("the job has no %s", name)
			}
		}
		r.env = append(r.env, "GITHUB_ACTIONS=true")
		steps := 0
		for _, s := range e2e.Steps {
			if s.Run == "" {
				continue
			}
			steps++
			if code := r.run(s.Run); code != 0 {
				t.Errorf("%s: %d\n%s", s.Run, code, r.ciOutput)
			}
		}
		if tested, err := os.ReadFile(r.tested); err != nil || steps != 4 || !strings.HasPrefix(string(tested), "https://shop-ci-ci-pr-7-dev.localhost:") {
			t.Errorf("%d steps, %q, %v\n%s", steps, tested, err, r.ciOutput)
		}
		if code := r.run(e2e.Steps[3].Run, "TESTS_EXIT=9"); code != 9 {
			t.Errorf("tests that fail: %d\n%s", code, r.ciOutput)
		}
		if code, _, _ := p.mezu("environments", "show", "ci-ci-pr-7"); code != 4 {
			t.Errorf("the environment is still there: %d", code)
		}
		if strings.Contains(r.ciOutput, account.Key) {
			t.Error("the log has the key")
		}
	})

	t.Run("GitLab", func(t *testing.T) {
		var all map[string]gitlabJob
		if err := yaml.Unmarshal([]byte(jobs[1]), &all); err != nil {
			t.Fatal(err)
		}
		job := all["e2e"]
		r := newRunner(t, p, port, "mr-8", account.Key)
		if len(job.Script) != 4 || len(job.AfterScript) != 1 || job.Variables["PORT"] == "" || job.Variables["NAME"] == "" {
			t.Fatalf("%+v", job)
		}
		if code := r.run(strings.Join(job.Script, "\n")); code != 0 {
			t.Errorf("%d\n%s", code, r.ciOutput)
		}
		if code := r.run(strings.Join(job.AfterScript, "\n")); code != 0 {
			t.Errorf("%d\n%s", code, r.ciOutput)
		}
		if tested, err := os.ReadFile(r.tested); err != nil || !strings.HasPrefix(string(tested), "https://shop-ci-ci-mr-8-dev.localhost:") {
			t.Errorf("%q, %v", tested, err)
		}
	})

	t.Run("without exec", func(t *testing.T) {
		r := newRunner(t, p, port, "pr-9", account.Key)
		if code := r.run(shell[1]); code != 0 || !strings.Contains(r.ciOutput, "\nhttps://shop-ci-ci-pr-9-dev.localhost:") {
			t.Errorf("%d\n%s", code, r.ciOutput)
		}
		checkNoSecret(t, &person{t: t, env: map[string]string{"MEZU_HOME": p.env["MEZU_HOME"], "MEZU_TOKEN": account.Key}}, account.Key)
	})
}
