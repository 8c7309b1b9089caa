#!/bin/sh
# Installs a program of a Mezusphere release after checking it against the
# release's SHA256SUMS.
#
#   MEZU_DOWNLOAD=https://… sh install.sh [mezu|warpgate|mezusphere]
#   MEZU_DOWNLOAD=./dist    sh install.sh
#
# MEZU_DOWNLOAD     where the archives and SHA256SUMS are: an https:// address or a
#                   folder; required
# MEZU_INSTALL_DIR  where the program goes; ~/.local/bin if not set
#
# Exit codes: 0 installed, 1 failed, 2 usage.

set -eu

say() { printf '%s\n' "install.sh: $*" >&2; }

fail() {
	say "$1"
	[ -z "${2-}" ] || printf '  try: %s\n' "$2" >&2
	exit "${3-1}"
}

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

# fetch NAME FILE gets one file of the release.
fetch() {
	case "$MEZU_DOWNLOAD" in
	https://*)
		if command -v curl >/dev/null 2>&1; then
			curl --proto '=https' --proto-redir '=https' --tlsv1.2 -fsSL --max-time 600 -o "$2" "${MEZU_DOWNLOAD%/}/$1"
		elif command -v wget >/dev/null 2>&1; then
			wget --https-only -q -T 60 -O "$2" "${MEZU_DOWNLOAD%/}/$1"
		else
			fail "neither curl nor wget is here" "install one of them"
		fi
		;;
	*://*) fail "$MEZU_DOWNLOAD is not https://" "" 2 ;;
	*) cp "${MEZU_DOWNLOAD%/}/$1" "$2" ;;
	esac || fail "$1 can't be had from $MEZU_DOWNLOAD" "check MEZU_DOWNLOAD"
}

# digest FILE prints its SHA-256 in hexadecimal.
digest() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1" | cut -d ' ' -f 1
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 <"$1" | cut -d ' ' -f 1
	else
		fail "neither sha256sum nor shasum is here" "install one of them"
	fi
}

main() {
	program=${1-mezu}
	case "$program" in
	mezu | warpgate | mezusphere) ;;
	*) fail "the programs are mezu, warpgate and mezusphere, not $program" "" 2 ;;
	esac
	[ -n "${MEZU_DOWNLOAD-}" ] || fail "MEZU_DOWNLOAD does not say where the release is" "MEZU_DOWNLOAD=URL-or-folder sh install.sh" 2
	target=${MEZU_INSTALL_DIR:-${HOME:?}/.local/bin}
	archive="${program}_$(platform).tar.gz"

	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM

	fetch SHA256SUMS "$work/SHA256SUMS"
	fetch "$archive" "$work/$archive"

	# Exactly one line, with exactly this name.
	want=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
	case "$want" in
	*[!0-9a-f]* | "") fail "SHA256SUMS has no single digest for $archive; nothing was installed" ;;
	esac
	[ "${#want}" = 64 ] || fail "SHA256SUMS has no single digest for $archive; nothing was installed"
	have=$(digest "$work/$archive")
	[ "$have" = "$want" ] || fail "$archive is not what SHA256SUMS says; nothing was installed" "download it again; if it stays so, report it as SECURITY.md says"

	mkdir "$work/out"
	tar -xzf "$work/$archive" -C "$work/out" "$program" || fail "$archive holds no $program; nothing was installed"
	if [ ! -f "$work/out/$program" ] || [ -L "$work/out/$program" ]; then
		fail "$archive holds no plain file $program; nothing was installed"
	fi
	mkdir -p "$target"
	chmod 755 "$work/out/$program"
	# Beside the target first, so that the last step replaces it as one.
	cp "$work/out/$program" "$target/.$program.new"
	mv -f "$target/.$program.new" "$target/$program"
	say "installed $target/$program"
	case ":$PATH:" in
	*":$target:"*) ;;
	*) say "$target is not in PATH" ;;
	esac
}

# Last, so that a script that arrived in part does nothing.
main "$@"
