package listening

import (
	"path"
	"slices"
	"strings"
)

// servers are the names that people know, by what command lines have: the name of a script
// without its ending, of a package below node_modules, or of a Python module.
func servers() map[string]string {
	return map[string]string{
		"vite": "vite", "next": "next", "next-server": "next", "nuxt": "nuxt", "nuxi": "nuxt", "@nuxt/cli": "nuxt", "astro": "astro", "remix": "remix", "@remix-run/dev": "remix",
		"webpack": "webpack", "webpack-cli": "webpack", "webpack-dev-server": "webpack", "ng": "angular", "@angular/cli": "angular",
		"react-scripts": "react-scripts", "vue-cli-service": "vue", "@vue/cli-service": "vue", "parcel": "parcel", "gatsby": "gatsby", "storybook": "storybook", "rsbuild": "rsbuild", "rspack": "rspack",
		"http-server": "http-server", "live-server": "live-server", "browser-sync": "browser-sync", "wrangler": "wrangler", "eleventy": "eleventy", "@11ty/eleventy": "eleventy", "nodemon": "nodemon", "ember": "ember",
		"rails": "rails", "puma": "puma", "rackup": "rackup", "jekyll": "jekyll",
		"flask": "flask", "uvicorn": "uvicorn", "gunicorn": "gunicorn", "hypercorn": "hypercorn", "daphne": "daphne", "http.server": "http.server", "streamlit": "streamlit", "jupyter-lab": "jupyter", "jupyter-notebook": "jupyter", "mkdocs": "mkdocs",
		"artisan": "laravel", "symfony": "symfony", "hugo": "hugo", "air": "air",
	}
}

// django is started by a script of the project's own.
const django = "django"

// known reports whether a command is a server that people know.
func known(command string) bool {
	if command == django {
		return true
	}
	for _, name := range servers() {
		if name == command {
			return true
		}
	}
	return false
}

// interpreters run a script, whose name says more than theirs. The value is the flag after which a
// module is named.
func interpreters() map[string]string {
	return map[string]string{"node": "", "nodejs": "", "bun": "", "deno": "", "tsx": "", "ts-node": "", "ruby": "", "php": "", "perl": "", "python": "-m", "python2": "-m", "python3": "-m", "java": "-jar", "dotnet": ""}
}

// describe is a short command for a command line: the server's name if it is known, else what
// was typed first and the plain words behind it. Programs may write their command line anew, as
// one text ("next-server (v15.0.0)"), of which the first word counts.
func describe(args []string) string {
	if len(args) == 0 {
		return ""
	}
	if len(args) == 1 {
		title := strings.Fields(args[0])
		if len(title) == 0 {
			return ""
		}
		args = title[:1]
	}
	first := base(args[0])
	if name, ok := servers()[strings.TrimSuffix(first, ":")]; ok {
		return name
	}
	flag, ok := interpreters()[versionless(first)]
	if !ok {
		return typed(args)
	}
	script, rest := scriptOf(args[1:], flag)
	return scriptName(script, rest)
}

// versionless is an interpreter's name without its version: python3.12 is python3.
func versionless(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return name
}

// base is the name of a file without its folder and the ending of a program.
func base(file string) string {
	if file == "" {
		return ""
	}
	file = strings.ReplaceAll(file, `\`, "/")
	return strings.TrimSuffix(path.Base(file), ".exe")
}

// scriptOf finds the script among an interpreter's arguments: the one behind flag, or else the
// first that is no flag and no value of one.
func scriptOf(args []string, flag string) (script string, rest []string) {
	valued := []string{"-r", "--require", "--import", "--loader", "-cp", "-classpath", "-I"}
	code := []string{"-e", "-c", "-p", "--eval", "--print"} // a program follows, and whatever is in it
	for i, a := range args {
		switch {
		case slices.Contains(code, a):
			return "", nil
		case a == "-S":
			return phpServer, nil
		case flag != "" && a == flag && i+1 < len(args):
			return args[i+1], args[i+2:]
		case a == "run", strings.HasPrefix(a, "-"), i > 0 && slices.Contains(valued, args[i-1]):
			continue
		}
		return a, args[i+1:]
	}
	return "", nil
}

// phpServer is PHP's own server, which has no script.
const phpServer = "php -S"

// scriptName is the short name of a script: of the package that it belongs to if it is one of
// node's, of the server if it is known, else of its file.
func scriptName(script string, rest []string) string {
	if script == "" || script == phpServer {
		return script
	}
	slashed := strings.ReplaceAll(script, `\`, "/")
	file := path.Base(slashed)
	if file == "manage.py" && slices.Contains(rest, "runserver") {
		return django
	}
	bare := file
	for _, ending := range []string{".js", ".mjs", ".cjs", ".ts", ".py", ".rb"} {
		bare = strings.TrimSuffix(bare, ending)
	}
	if name, ok := servers()[bare]; ok {
		return name
	}
	if name := nodePackage(slashed); name != "" {
		if known, ok := servers()[name]; ok {
			return known
		}
		return short(name)
	}
	return short(file)
}

// nodePackage is the package below the last node_modules of a path; "" without one.
func nodePackage(script string) string {
	const folder = "node_modules/"
	at := strings.LastIndex(script, folder)
	if at < 0 {
		return ""
	}
	parts := strings.SplitN(strings.TrimPrefix(script[at+len(folder):], ".bin/"), "/", 3)
	if strings.HasPrefix(parts[0], "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// Bounds of what is shown of a command line.
const (
	shownWord  = 16 // longest word behind the first: a verb is shorter, a secret is not
	shownName  = 32 // longest name
	shownWords = 2  // words behind the first
)

// typed is a program as it was started and the verbs behind it. Everything from the first flag on
// is left out, and so is what could be a secret: a word with digits, capitals or other signs.
func typed(args []string) string {
	name := args[0]
	if !strings.HasPrefix(name, "./") || strings.Count(name, "/") > 2 {
		name = base(name)
	}
	out := []string{short(strings.TrimSuffix(name, ":"))}
	for _, a := range args[1:] {
		if len(out) > shownWords || !verb(a) || tellsSecret(out[len(out)-1]) {
			break
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

// verb reports whether an argument is a plain word.
func verb(a string) bool {
	if a == "" || len(a) > shownWord || a[0] < 'a' || a[0] > 'z' {
		return false
	}
	return strings.Trim(a, "abcdefghijklmnopqrstuvwxyz:-.") == ""
}

// tellsSecret reports whether what follows a word is likely to be a secret.
func tellsSecret(word string) bool {
	return slices.ContainsFunc([]string{"pass", "pwd", "secret", "token", "key", "auth", "login", "cred", "user"}, func(s string) bool { return strings.Contains(strings.ToLower(word), s) })
}

// short cuts a name.
func short(name string) string {
	if r := []rune(name); len(r) > shownName {
		return string(r[:shownName-1]) + "…"
	}
	return name
}
