#compdef homectl
# zsh completion for homectl: the program itself knows what fits.

_homectl() {
    local -a lines whole open
    local line fixed word help ret=1

    lines=("${(@f)$(_call_program homectl ${(q)words[1]} --complete -- ${(q)${(@Q)words[2,CURRENT-1]}} ${(q)${(Q)PREFIX}})}")
    for line in $lines; do
        fixed=${line#*$'\t'}
        case $line in
            :files*)
                compset -p ${#fixed}
                _files && ret=0
                ;;
            :folders*)
                compset -p ${#fixed}
                _files -/ && ret=0
                ;;
            :hosts)
                _hosts && ret=0
                ;;
            :command*)
                shift $fixed words
                (( CURRENT -= fixed ))
                _normal && ret=0
                ;;
            ?*)
                word=${line%%$'\t'*}
                help=${${line#$word}#$'\t'}
                if [[ $word == *[=,] ]]; then
                    open+=("${word//:/\\:}${help:+:$help}")
                else
                    whole+=("${word//:/\\:}${help:+:$help}")
                fi
                ;;
        esac
    done
    (( $#whole + $#open )) && _describe homectl whole -- open -S '' && ret=0
    return ret
}

if [[ $funcstack[1] == _homectl ]]; then
    _homectl "$@"
else
    compdef _homectl homectl
fi
