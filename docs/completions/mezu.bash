# bash completion for mezu
_mezu() {
  local words cur line i
  # COMP_WORDS splits at "=" and ":"; the words of the line itself are wanted.
  read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
  [[ "${COMP_LINE:0:COMP_POINT}" == *" " ]] && words+=("")
  cur="${words[${#words[@]}-1]}"
  COMPREPLY=()
  while IFS= read -r line; do
    # Readline replaces only what follows the last "=".
    [[ "$cur" == *=* ]] && line="${line#*=}"
    COMPREPLY+=("$line")
  done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _mezu mezu
