#!/bin/sh
# Installs a program of Mezusphere for this user, with its manual and the completions of its shell.
#
#   MEZU_DOWNLOAD=https://… sh install.sh [mezu|warpgate|mezusphere]
#   MEZU_DOWNLOAD=./dist    sh install.sh
#   sh install.sh                          in a checkout: builds it with Go
#   sh install.sh --uninstall [PROGRAM]    removes what it has installed
#
# MEZU_DOWNLOAD     where the release is: an https:// address or a folder
# MEZU_INSTALL_DIR  where the program goes; ~/.local/bin if not set
# MEZU_RELEASE_KEY  a file with the keys that may sign the release, as ssh-keygen(1) has it under
#                   ALLOWED SIGNERS; else the key below
# MEZU_CA_FILE      certificates that are trusted for downloads instead of the system's
#
# --unsigned  install without a signature: whoever can write to where the release is, or change what
#             comes from there, can then run programs here
# --older     install a release that is older than the one that is here
#
# What was installed, and from where, is noted in ~/.local/share/mezu/install (XDG_DATA_HOME):
# mezu update goes on from there.
#
# Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted. Whatever fails, the program that was there
# before is still there.

set -eu

# The lines of cli/update/allowed_signers: the keys of releases. There is none yet.
release_keys=''

# The names of the release's files, what its signature is for, and how large a download may be, in
# blocks of 512 or 1,024 bytes, as the shell has it.
namespace=mezu-release
most=524288

say() { printf '%s\n' "install.sh: $*" >&2; }

fail() {
	say "$1"
	[ -z "${2-}" ] || printf '  try: %s\n' "$2" >&2
	exit "${3-1}"
}

have() { command -v "$1" >/dev/null 2>&1; }

# platform prints OS_ARCH as the archives are named.
platform() {
	case "$(uname -s)" in
	Linux) os=linux ;;
	Darwin) os=darwin ;;
	*) fail "there is no archive for $(uname -s)" "the zip archive for Windows, or make build" ;;
	esac
	case "$(uname -m)" in
	x86_64 | amd64) arch=amd64 ;;
	aarch64 | arm64) arch=arm64 ;;
	*) fail "there is no archive for $(uname -m)" "make build" ;;
	esac
	echo "${os}_${arch}"
}

# download NAME FILE gets one file of the release, or says nothing and fails.
download() (
	ulimit -f "$most" 2>/dev/null || true
	case "$MEZU_DOWNLOAD" in
	https://*)
		if have curl; then
			set -- "${MEZU_DOWNLOAD%/}/$1" "$2"
			curl --proto '=https' --proto-redir '=https' --tlsv1.2 -fsSL --max-redirs 5 --max-time 600 \
				${MEZU_CA_FILE:+--cacert "$MEZU_CA_FILE"} -o "$2" "$1"
		else
			# wget knows this variable in small letters alone.
			https_proxy=${https_proxy:-${HTTPS_PROXY-}}
			export https_proxy
			# It follows to http:// whatever it is told, so what led it anywhere is looked at.
			wget --https-only --max-redirect=5 -nv -S -T 60 ${MEZU_CA_FILE:+--ca-certificate="$MEZU_CA_FILE"} \
				-o "$work/wget" -O "$2" "${MEZU_DOWNLOAD%/}/$1" &&
				! grep -i '^[[:space:]]*location:' "$work/wget" |
				grep -q -i -v -e 'location:[[:space:]]*https://' -e 'location:[[:space:]]*/'
		fi
		;;
	*) cp "${MEZU_DOWNLOAD%/}/$1" "$2" ;;
	esac
)

# fetch is download, and says where there is nothing: without a name and password in the address.
fetch() {
	download "$1" "$2" || fail "$1 can't be had from $(printf '%s\n' "$MEZU_DOWNLOAD" | sed 's|^\(https://\)[^/@]*@|\1|'); nothing was installed" "check MEZU_DOWNLOAD, and the room on the disk"
}

# reachable fails if nothing here can download.
reachable() {
	case "$MEZU_DOWNLOAD" in
	https://*)
		if ! have curl && ! wget --help 2>&1 | grep -q -e --https-only; then
			fail "neither curl nor GNU wget is here" "install curl"
		fi
		;;
	*://*) fail "$MEZU_DOWNLOAD is not https://" "" 2 ;;
	*)
		MEZU_DOWNLOAD=$(cd "$MEZU_DOWNLOAD" 2>/dev/null && pwd) || fail "MEZU_DOWNLOAD is neither https:// nor a folder" "" 2
		;;
	esac
}

# digest FILE prints its SHA-256 in hexadecimal.
digest() {
	if have sha256sum; then
		sha256sum <"$1" | cut -d ' ' -f 1
	elif have shasum; then
		shasum -a 256 <"$1" | cut -d ' ' -f 1
	else
		fail "neither sha256sum nor shasum is here" "install one of them"
	fi
}

# check NAME FILE holds a file against SHA256SUMS: exactly one line, with exactly this name.
check() {
	want=$(awk -v name="$1" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
	case "$want" in
	*[!0-9a-f]* | "") fail "SHA256SUMS has no single digest for $1; nothing was installed" ;;
	esac
	[ "${#want}" = 64 ] || fail "SHA256SUMS has no single digest for $1; nothing was installed"
	[ "$(digest "$2")" = "$want" ] ||
		fail "$1 is not what SHA256SUMS says; nothing was installed" "download it again; if it stays so, report it as SECURITY.md says"
}

# signed checks who has signed SHA256SUMS.
signed() {
	if [ -n "$unsigned" ]; then
		say "--unsigned: who made this release is not checked"
		return
	fi
	have ssh-keygen || fail "ssh-keygen is not here, which checks the signature; nothing was installed" "install OpenSSH, or read what sh install.sh --unsigned means at its head"
	if [ -n "${MEZU_RELEASE_KEY-}" ]; then
		[ -r "$MEZU_RELEASE_KEY" ] || fail "MEZU_RELEASE_KEY: $MEZU_RELEASE_KEY can't be read" "" 2
		grep -v -e '^[[:space:]]*#' -e '^[[:space:]]*$' "$MEZU_RELEASE_KEY" | tr '\t' ' ' | tr -d '\r' >"$work/keys"
	else
		printf '%s\n' "$release_keys" >"$work/keys"
	fi
	grep -q . "$work/keys" || fail "no key is known that could have signed the release; nothing was installed" "MEZU_RELEASE_KEY=FILE with the key of whoever built it"
	fetch SHA256SUMS.sig "$work/SHA256SUMS.sig"
	who=$(ssh-keygen -Y find-principals -s "$work/SHA256SUMS.sig" -f "$work/keys" 2>/dev/null </dev/null | sed 's/,.*//;1q') || who=
	ssh-keygen -Y verify -f "$work/keys" -I "$who" -n "$namespace" -s "$work/SHA256SUMS.sig" <"$work/SHA256SUMS" >/dev/null 2>&1 ||
		fail "SHA256SUMS is not signed by a key that is trusted; nothing was installed" "if it stays so, report it as SECURITY.md says; ssh-keygen has to be of OpenSSH 8.2 or later"
}

# newer A B succeeds if version A comes after B, as mezu update has it: v1.2.3-rc.9 before
# v1.2.3-rc.10, both before v1.2.3, and that before v1.2.3-4-gabcdef0, a build some commits past it.
# One that is none, such as that of a build without a tag, comes after no other.
newer() {
	LC_ALL=C awk -v a="$1" -v b="$2" '
	function read_version(v, into,    after, n) {
		sub(/^v/, "", v); sub(/-dirty$/, "", v)
		after = 0
		if (match(v, /-[0-9]+-g[0-9a-f]+$/)) {
			after = substr(v, RSTART + 1, index(substr(v, RSTART + 1), "-") - 1) + 0
			v = substr(v, 1, RSTART - 1)
		}
		if (v !~ /^[0-9]+[.][0-9]+[.][0-9]+(-[0-9A-Za-z.-]+)?$/) exit 1
		n = index(v "-", "-")
		split(substr(v, 1, n - 1), into, "[.]")
		into["before"] = substr(v, n + 1)
		into["after"] = after
	}
	function decide(p, q) { if (p != q) exit !(p > q) }
	BEGIN {
		read_version(a, x); read_version(b, y)
		for (i = 1; i <= 3; i++) decide(x[i] + 0, y[i] + 0)
		decide(x["before"] == "", y["before"] == "")
		n = split(x["before"], p, "[.]"); m = split(y["before"], q, "[.]")
		for (i = 1; i <= n && i <= m; i++) {
			one = p[i] ~ /^[0-9]+$/; other = q[i] ~ /^[0-9]+$/
			decide(!one, !other)
			if (one) decide(p[i] + 0, q[i] + 0)
			else decide(p[i] "", q[i] "")
		}
		decide(n, m); decide(x["after"], y["after"])
		exit 1
	}'
}

# noted WORD prints what the record says of it, a line each.
noted() {
	[ ! -f "$record" ] || sed -n "s/^$1 //p" "$record"
}

# made DIR makes a folder, and remembers those that were not there. Another run may make the same.
made() {
	[ -d "$1" ] && return
	made "$(dirname "$1")"
	mkdir -p "$1" || fail "$1 can't be made; nothing was installed" "set MEZU_INSTALL_DIR, or XDG_DATA_HOME, to a folder that you may write to"
	printf 'dir %s\n' "$1" >>"$work/dirs"
}

# stage FILE MODE PATH puts a file beside where it will be.
stage() {
	made "$(dirname "$3")"
	staged="$(dirname "$3")/.mezu.new.$$.$(basename "$3")"
	printf '%s\n%s\n' "$staged" "$3" >>"$work/staged"
	{ cp "$1" "$staged" && chmod "$2" "$staged"; } || fail "$3 can't be written; nothing was installed" "make room, or set MEZU_INSTALL_DIR to a folder that you may write to"
}

# beside stages the manual and the completions of a folder, and notes where they go.
beside() {
	find "$1" -type f \( -name '*.1' -o -name mezu.bash -o -name _mezu -o -name mezu.fish \) >"$work/found"
	while IFS= read -r file; do
		name=$(basename "$file")
		case "$program:$name" in
		mezu:mezu.bash) to="$data/bash-completion/completions/mezu" ;;
		mezu:_mezu) to="$data/zsh/site-functions/_mezu" ;;
		mezu:mezu.fish) to="$data/fish/vendor_completions.d/mezu.fish" ;;
		mezu:mezusphere.1 | mezu:warpgate.1) continue ;;
		"$program:$program"*.1) to="$data/man/man1/$name" ;;
		*) continue ;;
		esac
		stage "$file" 644 "$to"
		printf 'file %s\n' "$to" >>"$work/files"
	done <"$work/found"
}

# from_checkout builds the program, into $work/out.
from_checkout() {
	have go || fail "go is not here, which builds the program" "install Go, or name a release with MEZU_DOWNLOAD"
	version=$(git -C "$checkout" describe --tags --always --dirty 2>/dev/null) || version=devel
	say "building $program $version in $checkout"
	mkdir "$work/out"
	(cd "$checkout" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$work/out/$program" "./cmd/$program") ||
		fail "$program could not be built; nothing was installed"
	mkdir "$work/beside"
	cp -R "$checkout/docs/man" "$checkout/docs/completions" "$work/beside/"
}

# from_release gets and checks the archive, and unpacks it into $work/out.
from_release() {
	reachable
	archive="${program}_$(platform).tar.gz"
	fetch SHA256SUMS "$work/SHA256SUMS"
	signed
	fetch VERSION "$work/VERSION"
	check VERSION "$work/VERSION"
	version=$(cat "$work/VERSION")
	case "$version" in
	*[!0-9A-Za-z.+-]* | "") fail "the release has no version; nothing was installed" ;;
	esac
	if [ -z "$older" ] && [ -n "$before" ] && newer "$before" "$version"; then
		fail "the release is $version, which is older than $before, which is here; nothing was installed" "sh install.sh --older, if that is meant"
	fi
	fetch "$archive" "$work/$archive"
	check "$archive" "$work/$archive"
	# Plain files and folders alone, by names that lead nowhere else.
	tar -tvzf "$work/$archive" >"$work/list" || fail "$archive can't be read; nothing was installed"
	if grep -q -v '^[-d]' "$work/list" || tar -tzf "$work/$archive" | grep -q -e '^/' -e '\.\.'; then
		fail "$archive holds no plain file $program, or something else beside it; nothing was installed"
	fi
	mkdir "$work/out"
	tar -xzf "$work/$archive" -C "$work/out" || fail "$archive can't be unpacked; nothing was installed" "make room in ${TMPDIR:-/tmp}, or set TMPDIR to another folder"
	[ -f "$work/out/$program" ] || fail "$archive holds no $program; nothing was installed"
	ln -s out "$work/beside"
}

# tidy removes what is not in place.
tidy() {
	if [ -f "$work/staged" ]; then
		while IFS= read -r left && IFS= read -r _; do rm -f "$left"; done <"$work/staged"
	fi
	# Folders that were made for nothing, inner ones first.
	if [ -z "$done" ] && [ -f "$work/dirs" ]; then
		sed -n '1!G;h;$p' "$work/dirs" | while IFS= read -r left; do rmdir "${left#dir }" 2>/dev/null || true; done
	fi
	rm -rf "$work"
}

install() {
	target=${MEZU_INSTALL_DIR:-${HOME:?}/.local/bin}
	case "$target" in
	/*) ;;
	*) target="$PWD/$target" ;;
	esac
	before=
	[ ! -x "$target/$program" ] || before=$(noted version)
	if [ -n "${MEZU_DOWNLOAD-}" ]; then
		from_release
	elif [ -n "$checkout" ]; then
		from_checkout
	else
		fail "MEZU_DOWNLOAD does not say where the release is, and this is no checkout" "MEZU_DOWNLOAD=URL-or-folder sh install.sh" 2
	fi
	case "$target$data$checkout$MEZU_DOWNLOAD" in
	*[[:cntrl:]]*) fail "a path with a line end, or what else controls a terminal, can't be noted" "" 2 ;;
	esac

	# What a run left beside its places that was killed. Not all of these folders are there.
	find "$target" "$data/mezu/install" "$data/man/man1" "$data/bash-completion/completions" "$data/zsh/site-functions" "$data/fish/vendor_completions.d" \
		-maxdepth 1 -name '.mezu.new.*' -mmin +60 -exec rm -f {} + 2>/dev/null || true
	for list in files dirs staged; do : >"$work/$list"; done
	[ ! -d "$target/$program" ] || fail "$target/$program is a folder; nothing was installed"
	stage "$work/out/$program" 755 "$target/$program"
	out=$("$staged" version 2>&1 </dev/null) || fail "$program $version does not start on this machine; nothing was installed"
	case "$out" in
	"$program $version" | "$program ${version#v}" | "$program v$version") ;;
	*) fail "$program says that it is $out, and not $version; nothing was installed" ;;
	esac
	beside "$work/beside/"
	made "$(dirname "$record")"

	# What was installed elsewhere before is still this script's to remove. What came with the version
	# before, and not with this one, goes.
	{
		echo "mezu-install 1"
		echo "version $version"
		if [ -n "${MEZU_DOWNLOAD-}" ]; then echo "source $MEZU_DOWNLOAD"; else echo "checkout $checkout"; fi
		[ -z "$unsigned" ] || echo "unsigned yes"
		if [ -z "$unsigned" ] && [ -n "${MEZU_DOWNLOAD-}" ] && [ -n "${MEZU_RELEASE_KEY-}" ]; then sed 's/^/key /' "$work/keys"; fi
		echo "program $target/$program"
		noted program | grep -v -x -F -e "$target/$program" | sed 's/^/program /' || true
		sort "$work/files"
		# A folder that was made for one program goes with the last one that has something in it.
		{ cat "$data/mezu/install/"* 2>/dev/null || true; cat "$work/dirs"; } | awk '/^dir / && !seen[$0]++'
	} >"$work/record" || fail "there is no room in ${TMPDIR:-/tmp}; nothing was installed"
	noted file >"$work/old"
	stage "$work/record" 600 "$record"

	# All is beside its place. From here on a signal waits: what is left are renames. The program is
	# the first in the list, and goes last.
	trap '' INT TERM HUP
	sed -n '3,$p' "$work/staged" | while IFS= read -r from && IFS= read -r to; do mv -f "$from" "$to" || exit 1; done ||
		fail "the manual and the completions can't be put in place; the program is as it was"
	mv -f "$target/.mezu.new.$$.$program" "$target/$program" || fail "$target/$program can't be replaced; it is as it was"
	done=yes
	while IFS= read -r left; do
		grep -q -x -F -e "file $left" "$work/files" || rm -f "$left"
	done <"$work/old"

	say "installed $target/$program, $version"
	case ":$PATH:" in
	*":$target:"*) ;;
	*) say "$target is not in PATH" ;;
	esac
}

uninstall() {
	[ -f "$record" ] || fail "$program was not installed by this script: there is no $record"
	[ "$(head -n 1 "$record")" = "mezu-install 1" ] || fail "$record is of another version of this script" "that one's --uninstall"
	# The record goes last: what is interrupted is done again.
	{ noted file; noted program; } | while IFS= read -r path; do
		case "$path" in
		/*) rm -f "$path" || exit 1 ;;
		esac
	done || fail "not all of it can be removed" "repeat it as the user who installed it"
	sed -n '/^dir /p' "$record" >"$work/dirs"
	rm -f "$record"
	done=
	say "removed $program; profiles, logins and what a daemon keeps stay: ~/.config/mezu, ~/.local/state/mezu"
}

main() {
	program=mezu unsigned='' older='' doing=install done=yes
	for arg in "$@"; do
		case "$arg" in
		mezu | warpgate | mezusphere) program=$arg ;;
		--unsigned) unsigned=yes ;;
		--older) older=yes ;;
		--uninstall) doing=uninstall ;;
		*) fail "the programs are mezu, warpgate and mezusphere, the flags --unsigned, --older and --uninstall, not $arg" "" 2 ;;
		esac
	done
	MEZU_DOWNLOAD=${MEZU_DOWNLOAD-}
	case "${XDG_DATA_HOME-}" in
	/*) data=${XDG_DATA_HOME%/} ;;
	*) data=${HOME:?}/.local/share ;;
	esac
	record=$data/mezu/install/$program
	checkout=
	here=$(dirname "$0")
	if [ -f "$here/install.sh" ] && grep -q -x 'module github.com/mezusphere/mezu' "$here/go.mod" 2>/dev/null; then
		checkout=$(cd "$here" && pwd)
	fi
	work=$(mktemp -d) || fail "there is no room in ${TMPDIR:-/tmp}"
	trap tidy EXIT
	trap 'exit 130' INT TERM HUP
	done=
	case "$doing" in
	install) install ;;
	uninstall) uninstall ;;
	esac
}

# Last and as one, so that a script that arrived in part does nothing.
{ main "$@"; }
