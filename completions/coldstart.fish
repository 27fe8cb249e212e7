# SPDX-License-Identifier: Apache-2.0
# Completion for fish. The tool itself knows what may come next; here it is only asked.

function __coldstart_complete
    set -l typed (commandline -ct)
    set -l words (commandline -opc) "$typed"
    for reply in ($words[1] __complete $words[2..-1] 2>/dev/null)
        switch $reply
            case :files
                __fish_complete_path "$typed"
            case :folders
                __fish_complete_directories "$typed" ''
            case '*'
                echo $reply
        end
    end
end

complete -c coldstart -f -a '(__coldstart_complete)'
