package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a completion script made from the grammar of the command line, so that it can not fall behind.
func (c *completionCmd) Run(a *app) error {
	w := &bytes.Buffer{}
	leaves := commandsOf(a.parser.Model.Node)
	switch c.Shell {
	case "bash":
		bashCompletion(w, leaves)
	case "zsh":
		fmt.Fprint(w, "#compdef micronode\nautoload -U +X bashcompinit && bashcompinit\n")
		bashCompletion(w, leaves)
	case "fish":
		fishCompletion(w, leaves)
	}
	_, err := w.WriteTo(a.stdout)
	return err
}

// commandHelp is one node of the command tree: the words that lead to it, and what may follow.
type commandHelp struct {
	path  []string // without the name of the program
	subs  []*kong.Node
	flags []*kong.Flag
	words []string // values of a positional argument that has a list of them
}

// commandsOf lists a node and all commands below it.
func commandsOf(n *kong.Node) []commandHelp {
	var c commandHelp
	for up := n; up.Parent != nil; up = up.Parent {
		c.path = append([]string{up.Name}, c.path...)
	}
	for _, flags := range n.AllFlags(true) {
		c.flags = append(c.flags, flags...)
	}
	for _, arg := range n.Positional {
		if arg.Enum != "" {
			c.words = append(c.words, arg.EnumSlice()...)
		}
	}
	list := []commandHelp{c}
	for _, sub := range n.Children {
		if sub.Type == kong.CommandNode && !sub.Hidden {
			list[0].subs = append(list[0].subs, sub)
			list = append(list, commandsOf(sub)...)
		}
	}
	return list
}

// candidates are the words that may follow, flags last.
func (c *commandHelp) candidates() []string {
	var words []string
	for _, s := range c.subs {
		words = append(words, s.Name)
	}
	words = append(words, c.words...)
	for _, f := range c.flags {
		words = append(words, "--"+f.Name)
		if f.Short != 0 {
			words = append(words, "-"+string(f.Short))
		}
	}
	return words
}

// bashCompletion looks the command words up in a table and offers file names besides.
func bashCompletion(w *bytes.Buffer, list []commandHelp) {
	fmt.Fprint(w, `_micronode() {
    local cur="${COMP_WORDS[COMP_CWORD]}" path="" w words=""
    for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path $w" in
`)
	var known []string
	for _, c := range list {
		if len(c.path) > 0 {
			known = append(known, `"`+spaced(c.path)+`"`)
		}
	}
	fmt.Fprintf(w, "            %s) path=\"$path $w\" ;;\n        esac\n    done\n    case \"$path\" in\n", strings.Join(known, "|"))
	for _, c := range list {
		fmt.Fprintf(w, "        \"%s\") words=\"%s\" ;;\n", spaced(c.path), strings.Join(c.candidates(), " "))
	}
	fmt.Fprint(w, `    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [ "${#COMPREPLY[@]}" -eq 0 ]; then COMPREPLY=($(compgen -f -- "$cur")); fi
}
complete -o filenames -F _micronode micronode
`)
}

// spaced writes a path the way the bash function collects it: every word behind a space.
func spaced(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " " + strings.Join(path, " ")
}

// fishCompletion writes one line for each command and flag.
func fishCompletion(w *bytes.Buffer, list []commandHelp) {
	for _, c := range list {
		when := "__fish_use_subcommand"
		if len(c.path) > 0 { // every word of it: both token and audit have a verify
			when = "__fish_seen_subcommand_from " + strings.Join(c.path, "; and __fish_seen_subcommand_from ")
		}
		for _, s := range c.subs {
			fmt.Fprintf(w, "complete -c micronode -f -n %s -a %s -d %s\n", quote(when), s.Name, quote(s.Help))
		}
		for _, word := range c.words {
			fmt.Fprintf(w, "complete -c micronode -f -n %s -a %s\n", quote(when), word)
		}
		for _, f := range c.flags {
			short := ""
			if f.Short != 0 {
				short = " -s " + string(f.Short)
			}
			value := ""
			if !f.IsBool() {
				value = " -r"
			}
			fmt.Fprintf(w, "complete -c micronode -n %s -l %s%s%s -d %s\n", quote(when), f.Name, short, value, quote(f.Help))
		}
	}
}

// quote makes a text one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
