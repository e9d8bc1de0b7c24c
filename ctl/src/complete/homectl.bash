# bash completion for homectl: the program itself knows what fits.

_homectl() {
    local -a words=() found=()
    local rest=${COMP_LINE:0:COMP_POINT} trimmed i word cut="" line fixed value

    # Bash cuts words at = : and @ as well: what no space is between belongs together.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && word=$trimmed
        if ((i > 0)) && [[ $trimmed == "$rest" && -n $rest ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        rest=${trimmed#"$word"}
    done
    word=${words[-1]}

    # It puts in only what is behind the last cut.
    for ((i = ${#word}; i > 0; i--)); do
        if [[ ${word:i-1:1} == [=:@] && $COMP_WORDBREAKS == *"${word:i-1:1}"* ]]; then
            cut=${word:0:i}
            break
        fi
    done

    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files* | :folders*)
            fixed=${line#*$'\t'}
            value=${word#"$fixed"}
            local kind=-f
            [[ $line == :folders* ]] && kind=-d
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do found+=("$fixed$line"); done < <(compgen "$kind" -- "$value")
            ;;
        :hosts)
            while IFS= read -r line; do found+=("$line"); done < <(compgen -A hostname -- "$word")
            ;;
        :command*)
            compopt -o filenames 2>/dev/null
            local kind=-f
            ((${#words[@]} - 1 == ${line#*$'\t'})) && kind=-c
            while IFS= read -r line; do found+=("$line"); done < <(compgen "$kind" -- "$word")
            ;;
        *)
            line=${line%%$'\t'*}
            [[ $line == *[=,] ]] && compopt -o nospace 2>/dev/null
            found+=("$line")
            ;;
        esac
    done < <("${words[0]}" --complete -- "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${found[@]#"$cut"}")
}

complete -F _homectl homectl
