# bash completion for fanin: verbs and options come from the program itself.
_fanin() {
  local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$(fanin --verbs 2>/dev/null)" -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(fanin "$verb" --help 2>/dev/null | grep -o -e '--[a-z0-9-]*')" -- "$word")
  elif [ "$verb" = list ] && [ "$COMP_CWORD" = 2 ]; then
    mapfile -t COMPREPLY < <(compgen -W "activations rules schemes streams operators optimizers models data papers" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _fanin fanin
