package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkout is a folder with the project's Makefile. Stubs stand in for the tools that it calls, and append a line per call to
// the file `calls`.
type checkout struct {
	t   *testing.T
	dir string
	env []string
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("this test needs make")
	}
	c := &checkout{t: t, dir: t.TempDir()}
	for _, name := range []string{"Makefile", "go.mod", "samconfig.toml"} {
		c.write(name, source(t, name))
	}
	c.env = append(os.Environ(), "PATH="+filepath.Join(c.dir, "stubs")+":"+os.Getenv("PATH"),
		"XDG_CACHE_HOME="+filepath.Join(c.dir, "cache"), "GOTOOLCHAIN=local")
	return c
}

func (c *checkout) write(name, text string) {
	path := filepath.Join(c.dir, name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(text), 0o755))
}

// stub makes a shell script that stands in for a tool.
func (c *checkout) stub(name, script string) { c.write(name, "#!/bin/sh\n"+script+"\n") }

// make returns the calls that the stubs recorded, and the output.
func (c *checkout) make(arguments ...string) (calls []string, output string, err error) {
	_ = os.Remove(filepath.Join(c.dir, "calls"))
	command := exec.Command("make", arguments...)
	command.Dir, command.Env = c.dir, c.env
	printed, err := command.CombinedOutput()
	noted, _ := os.ReadFile(filepath.Join(c.dir, "calls"))
	return strings.FieldsFunc(string(noted), func(r rune) bool { return r == '\n' }), string(printed), err
}

func toolchain(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^toolchain (go1\.\d+\.\d+)$`).FindStringSubmatch(source(t, "go.mod"))[1]
}

// Binaries contain the standard library of the release in go.mod, also with GOTOOLCHAIN=local in the environment.
func TestBinariesAreBuiltWithTheToolchainOfGoMod(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.stub("stubs/go", `echo "$GOTOOLCHAIN $1" >>calls`)
	calls, output, err := c.make("build", "worker-build")
	require.NoError(t, err, output)
	assert.Equal(t, strings.Split(strings.Repeat(toolchain(t)+" build,", 4), ",")[:4], calls)

	calls, output, err = c.make("build", "GOTOOLCHAIN=local")
	require.NoError(t, err, output)
	assert.Equal(t, []string{"local build", "local build", "local build"}, calls)
}

// asking stands in for `sam deploy`: with --guided it writes its answers to the given file, like the SAM CLI.
const asking = `echo "$@" >>calls
case "$*" in *--guided*) printf '[default.deploy.parameters]\nstack_name = "sipeat"\n' >"$3"
printf 'parameter_overrides = "TableName=\\"sipeat\\" Architecture=\\"%s\\""\n' "$(cat answer)" >>"$3" ;; esac`

func TestDeployBuildsForTheArchitectureOfTheStack(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.stub("stubs/go", `echo "built $GOARCH" >>calls`)
	c.stub("stubs/sam", asking)
	c.write("answer", "x86_64")
	built := func(arch string, then ...string) []string {
		return append([]string{"built " + arch, "built " + arch, "built " + arch}, then...)
	}
	const deploy = "deploy --config-file samconfig.local.toml"

	for _, step := range []struct {
		arguments, says string // says = the reason of a failure
		calls           []string
	}{
		{"ARCH=amd64", "", built("amd64", deploy+" --guided --parameter-overrides Architecture=x86_64")},
		{"-s", "", built("amd64", deploy)},
		{"ARCH=arm64", "ARCH=arm64, but samconfig.local.toml says amd64", []string{}},
		{"SAM=no-such-sam", "This needs the SAM CLI", []string{}},
	} {
		calls, output, err := c.make("deploy", step.arguments)
		assert.Equal(t, step.says != "", err != nil, output)
		assert.Contains(t, output, step.says)
		assert.Equal(t, step.calls, calls, step.arguments)
	}
	kept, err := os.ReadFile(filepath.Join(c.dir, "samconfig.toml"))
	require.NoError(t, err)
	assert.Equal(t, source(t, "samconfig.toml"), string(kept), "the tracked file")
	assert.Contains(t, source(t, ".gitignore"), "\n/samconfig.local.toml\n")
}

// If the user's answer to SAM is another architecture than the one that was built for, the user has to start another
// `make deploy`.
func TestDeployNeverDeploysTwice(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.stub("stubs/go", `true`)
	c.stub("stubs/sam", asking)
	c.write("answer", "x86_64")
	calls, output, err := c.make("deploy")
	require.Error(t, err)
	assert.Contains(t, output, "run `make deploy` again")
	assert.Len(t, calls, 1)

	c.stub("stubs/sam", `echo "$@" >>calls; exit 1`)
	calls, output, err = c.make("deploy")
	require.Error(t, err, output)
	assert.Len(t, calls, 1)
}

// tooNew lists features that GNU make 3.81 and the BSD tools of macOS lack.
var tooNew = []string{
	// NEWS of GNU make 3.82 to 4.4
	`--eval|--trace|--output-sync|--shuffle|\$\(MAKE\).* -O`,
	`(?m)^\.(ONESHELL|SHELLFLAGS|RECIPEPREFIX|EXTRA_PREREQS|NOTINTERMEDIATE|WAIT)\b|\.SHELLSTATUS`,
	`(?m)^[^\t#]*(!=|::=)`,
	`\$\((file|guile|let|intcmp) `,
	`(?m)^(undefine|private|load) |^define \S+ *[:?+]?=`,
	`(?m)^[^\t#]*&:`,
	`(?m)^[^\t#]*\$\([^)#]*#`, // starts a comment before 4.3
	// https://man.freebsd.org, https://www.gnu.org/software/coreutils
	`\bsed (-\S+ )*-(i|r|z)\b|\bsed .*\\[+?|]`,
	`\bmktemp\b(?: -\w+)*( *[)&|;>]|$)`,
	`(^|[^-\w])(mapfile|readarray|declare -A|tac|timeout|realpath|sha\d+sum|nproc)\b`,
	`\breadlink -|\bgrep -[a-zA-Z]*P|\bdate -d|\bxargs -[a-zA-Z]*[rd]|\bstat -c|\bsort -V`,
	`-printf\b|\bbase64 -w|\bhead -n -|\bcp -[a-zA-Z]*t\b`,
	`\b(gensub|strftime|systime|asort|and)\(|\bmatch\([^)]*,[^)]*,`,
	`\bpaste( -s| -d [^\s;)]+)* *([);&|]|$)`,
	`\$\$\{\w+(,,|\^\^|@)`,
}

func TestMakefileWorksWithMake381AndBSDTools(t *testing.T) {
	t.Parallel()
	for i, line := range strings.Split(source(t, "Makefile"), "\n") {
		for _, pattern := range tooNew {
			if !strings.HasPrefix(line, "#") {
				assert.NotRegexp(t, pattern, line, "line %d", i+1)
			}
		}
	}
}
