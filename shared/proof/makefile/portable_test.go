package makefile

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// tooNew lists features that GNU make 3.81 and the BSD tools of macOS lack, each with an example.
var tooNew = []struct{ pattern, example string }{
	// NEWS of GNU make 3.82 to 4.4
	{`--eval|--trace|--output-sync|--shuffle|\$\(MAKE\).* -O`, "$(MAKE) --eval='a:; b' a"},
	{`(?m)^\.(ONESHELL|SHELLFLAGS|RECIPEPREFIX|EXTRA_PREREQS|NOTINTERMEDIATE|WAIT)\b|\.SHELLSTATUS`, ".SHELLFLAGS := -ec"},
	{`(?m)^[^\t#]*(!=|::=)`, "HASH != git rev-parse HEAD"},
	{`\$\((file|guile|let|intcmp) `, "$(file >x,y)"},
	{`(?m)^(undefine|private|load) |^define \S+ *[:?+]?=`, "define X ="},
	{`(?m)^[^\t#]*&:`, "a b &: c"},
	{`(?m)^[^\t#]*\$\([^)#]*#`, "X = $(shell grep '#' file)"}, // starts a comment before 4.3
	// https://man.freebsd.org, https://www.gnu.org/software/coreutils
	{`\bsed (-\S+ )*-(i|r|z)\b|\bsed .*\\[+?|]`, "sed -i s/a/b/ file"},
	{`\bmktemp\b(?: -\w+)*( *[)&|;>]|$)`, "$$(mktemp)"},
	{`(^|[^-\w])(mapfile|readarray|declare -A|tac|timeout|realpath|sha\d+sum|nproc)\b`, "mapfile -t a"},
	{`\breadlink -|\bgrep -[a-zA-Z]*P|\bdate -d|\bxargs -[a-zA-Z]*[rd]|\bstat -c|\bsort -V`, "grep -oP x"},
	{`-printf\b|\bbase64 -w|\bhead -n -|\bcp -[a-zA-Z]*t\b`, "find . -printf x"},
	{`\b(gensub|strftime|systime|asort|and)\(|\bmatch\([^)]*,[^)]*,`, "awk '{gensub(1)}'"},
	{`\bpaste( -s| -d [^\s;)]+)* *([);&|]|$)`, "paste -s -d ,; x"},
	{`\$\$\{\w+(,,|\^\^|@)`, "$${name,,}"},
}

func TestMakefileWorksWithMake381AndBSDTools(t *testing.T) {
	t.Parallel()
	text := source(t, "Makefile")
	for _, c := range tooNew {
		pattern := regexp.MustCompile(c.pattern)
		assert.Regexp(t, pattern, c.example, "the pattern misses its own example")
		for i, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, "#") {
				assert.NotRegexp(t, pattern, line, "line %d", i+1)
			}
		}
	}
}
