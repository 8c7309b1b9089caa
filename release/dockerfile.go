package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// dockerSteps is what the Dockerfile of an image says.
type dockerSteps struct {
	copies     []copyStep
	user       string
	env        []string
	entrypoint []string
}

// copyStep is one COPY.
type copyStep struct {
	text     string
	from     []string
	to       string
	uid, gid int
	mode     int64 // of everything that is copied; 0 is the usual one of each
}

// parseDockerfile reads the few instructions of an image that is made from nothing. The
// file is docker's for goreleaser and for people; one that does more is refused here.
func parseDockerfile(text string) (dockerSteps, error) {
	var s dockerSteps
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.add(line); err != nil {
			return s, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	if len(s.entrypoint) == 0 || s.user == "" {
		return s, errors.New("an image needs ENTRYPOINT and USER")
	}
	return s, nil
}

func (s *dockerSteps) add(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "FROM":
		if rest != "scratch" {
			return errors.New("only FROM scratch is known")
		}
	case "ARG":
		if rest != "TARGETPLATFORM" {
			return errors.New("only ARG TARGETPLATFORM is known")
		}
	case "COPY":
		c, err := parseCopy(rest)
		if err != nil {
			return err
		}
		c.text = line
		s.copies = append(s.copies, c)
	case "USER":
		s.user = rest
	case "ENV":
		if name, _, ok := strings.Cut(rest, "="); !ok || strings.ContainsAny(rest, " \"'$") || name == "" {
			return errors.New("ENV is one NAME=VALUE without quotes")
		}
		s.env = append(s.env, rest)
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &s.entrypoint)
	default:
		return errors.New("the instruction is not known")
	}
	return nil
}

func parseCopy(rest string) (copyStep, error) {
	var c copyStep
	words := strings.Fields(rest)
	for ; len(words) > 0 && strings.HasPrefix(words[0], "--"); words = words[1:] {
		if err := c.option(words[0]); err != nil {
			return c, err
		}
	}
	if len(words) < 2 {
		return c, errors.New("COPY needs what and where to")
	}
	c.from, c.to = words[:len(words)-1], words[len(words)-1]
	if len(c.from) > 1 && !strings.HasSuffix(c.to, "/") {
		return c, errors.New("several are copied into a folder, whose name ends in /")
	}
	return c, nil
}

func (c *copyStep) option(text string) error {
	name, value, _ := strings.Cut(text, "=")
	var err error
	switch name {
	case "--chown":
		uid, gid, _ := strings.Cut(value, ":")
		if c.uid, err = strconv.Atoi(uid); err == nil {
			c.gid, err = strconv.Atoi(gid)
		}
	case "--chmod":
		c.mode, err = strconv.ParseInt(value, 8, 32)
	default:
		err = errors.New("the option is not known")
	}
	if err != nil {
		return fmt.Errorf("%s: %w; --chown=UID:GID and --chmod=OCTAL are known", text, err)
	}
	return nil
}
