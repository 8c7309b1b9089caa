package cli

// appHelp is the page of "mezu --help", in the flag library's template language.
const appHelp = `{{.Name}} - {{.Usage}}

Usage:
   {{.HelpName}} COMMAND [ARGUMENTS] [FLAGS]
{{range .VisibleCategories}}
{{.Name}}:{{range .VisibleCommands}}
   {{join .Names ", "}}{{"\t"}}{{.Usage}}{{end}}
{{end}}
Flags of all commands:
   {{range $i, $e := .VisibleFlags}}{{if $i}}
   {{end}}{{$e}}{{end}}

Flags may stand before or after arguments, up to "--".
Piped, tables are separated by tabs and have no head.
Exit codes: 0 done, 1 failed, 2 usage, 3 not logged in or not allowed, 4 not found,
5 conflict, 6 unreachable, 7 timed out, 8 differs, 130 interrupted.
mezu help exit-codes, environment and scripting say more.
`

// commandHelp is the help page of a command, with or without subcommands.
const commandHelp = `{{.HelpName}} - {{.Usage}}

Usage:
   {{.HelpName}}{{if .VisibleCommands}} COMMAND{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}} [FLAGS]
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
Commands:{{range .VisibleCommands}}
   {{join .Names ", "}}{{"\t"}}{{.Usage}}{{end}}
{{end}}{{if .VisibleFlags}}
Flags:
   {{range $i, $e := .VisibleFlags}}{{if $i}}
   {{end}}{{$e}}{{end}}
{{end}}{{if .UsageText}}
Example:
   {{.UsageText}}
{{end}}
mezu --help shows the flags of all commands.
`
