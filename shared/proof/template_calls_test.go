package proof

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// `sam local` joins the containers of docker-compose.yml with parameters that the template has, and runs what was built.
func TestSAMIsCalledAsTheRestHasIt(t *testing.T) {
	t.Parallel()
	var template yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(source(t, "template.yaml")), &template))
	parameters := members(child(template.Content[0], "Parameters"))
	containers := composeFile(t)
	sections := regexp.MustCompile(`(?m)^\[(\w+)\.(local_\w+)\.parameters\]\n((?:[^[\n].*\n)*)`).FindAllStringSubmatch(source(t, "samconfig.toml"), -1)
	var names []string
	for _, s := range sections {
		environment, settings := s[1], s[3]
		names = append(names, environment+" "+s[2])
		assert.Contains(t, settings, `docker_network = "`+containers.Networks["default"].Name+`"`, s[0])
		assert.Contains(t, settings, "skip_pull_image = true", "%s: what is there is not asked for each time", s[0])
		given := map[string]string{}
		for _, pair := range regexp.MustCompile(`"(\w+)=([^"]*)"`).FindAllStringSubmatch(settings, -1) {
			assert.NotNil(t, parameters[pair[1]], "template.yaml has no parameter %s", pair[1])
			given[pair[1]] = pair[2]
		}
		assert.Equal(t, map[string]string{"default": "arm64", "amd64": "x86_64"}[environment], given["Architecture"], s[0])
		assert.Equal(t, "NONE", given["KafkaSaslMechanism"], s[0])
		kafka := listeners(containers.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "://")["NETWORK"]
		assert.Equal(t, kafka, given["KafkaBrokers"], s[0])
		assert.Equal(t, "http://dynamodb:8000", given["DynamoDBEndpoint"], s[0])
		assert.NotEmpty(t, containers.Services["dynamodb"].published("8000"))
	}
	assert.ElementsMatch(t, []string{
		"default local_invoke", "default local_start_api", "default local_start_lambda", "amd64 local_invoke", "amd64 local_start_api", "amd64 local_start_lambda",
	}, names)
}

// What is deployed is built for the Architecture that stands in samconfig.toml: the first time SAM asks for it, and another answer than
// what was built for is built and deployed again; ARCH cannot say otherwise.
func TestDeployBuildsForTheArchitectureThatIsDeployed(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("this needs make")
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	write("Makefile", source(t, "Makefile"), 0o644)
	write("samconfig.toml", source(t, "samconfig.toml"), 0o644)
	write("go", "#!/bin/sh\ncase $1 in build) echo built $GOARCH >>said;; *) echo test;; esac\n", 0o755)
	write("sam", `#!/bin/sh
echo "$@" >>said
if [ "$2" = --guided ]; then
	sed -i.bak '/^\[default.deploy.parameters\]/a\
stack_name = "sipeat"\
parameter_overrides = "TableName=\\"sipeat\\" Architecture=\\"x86_64\\""
' samconfig.toml
fi
`, 0o755)
	deploy := func(arguments ...string) (said []string, err error) {
		_ = os.Remove(filepath.Join(dir, "said"))
		c := exec.Command("make", append([]string{"deploy", "SAM=./sam"}, arguments...)...)
		c.Dir, c.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		output, err := c.CombinedOutput()
		if err != nil {
			return []string{string(output)}, err
		}
		text, err := os.ReadFile(filepath.Join(dir, "said"))
		return lines(strings.TrimSpace(string(text))), err
	}
	built := func(arch string) []string { return []string{"built " + arch, "built " + arch, "built " + arch} }

	said, err := deploy()
	require.NoError(t, err, said)
	again := append(append(append(built("arm64"), "deploy --guided"), built("amd64")...), "deploy")
	assert.Equal(t, again, said)

	said, err = deploy()
	require.NoError(t, err, said)
	assert.Equal(t, append(built("amd64"), "deploy"), said)

	said, err = deploy("ARCH=arm64")
	require.Error(t, err)
	assert.Contains(t, said[0], "ARCH=arm64, but samconfig.toml says amd64")
	said, err = deploy("ARCH=mips")
	require.Error(t, err, said)
}
