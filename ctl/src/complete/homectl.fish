# fish completion for homectl: the program itself knows what fits.

function __homectl_complete
    set -l words (commandline -opc)
    set -l current (string unescape -- (commandline -ct))
    for line in (command $words[1] --complete -- $words[2..] "$current" 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        switch $parts[1]
            case ':files' ':folders'
                set -l value (string sub -s (math 1 + (string length -- "$parts[2]")) -- "$current")
                set -l found __fish_complete_path
                test $parts[1] = ':folders'; and set found __fish_complete_directories
                for path in ($found "$value")
                    echo -- "$parts[2]$path"
                end
            case ':hosts'
                __fish_print_hostnames
            case ':command'
                __fish_complete_subcommand --fcs-skip=$parts[2]
            case '*'
                echo -- $line
        end
    end
end

complete -c homectl -f -a '(__homectl_complete)'
