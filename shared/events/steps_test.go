package events_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

var (
	declaration = regexp.MustCompile(`(?m)^type (\w+) struct \{\n\tBase\n`)
	capital     = regexp.MustCompile(`(.)([A-Z])`)
)

// TestANewTypeInThreeSteps names a forgotten step of README's instructions, for the steps in this package. It reads the source,
// because a type that is not listed cannot be found otherwise. The test of the same name in functions/consumers covers the rest.
func TestANewTypeInThreeSteps(t *testing.T) {
	declared := map[string]bool{}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		source := string(b)
		for _, match := range declaration.FindAllStringSubmatch(source, -1) {
			name := match[1]
			topic := strings.ToLower(capital.ReplaceAllString(name, "$1-$2"))
			declared[topic] = true
			if want := strings.ReplaceAll(topic, "-", "_") + ".go"; file != want {
				t.Errorf("step 1: move %s from shared/events/%s to shared/events/%s", name, file, want)
			}
			if !regexp.MustCompile(`(?m)^func \(\w+ ` + name + `\) check\(v \*validator\) `).MatchString(source) {
				t.Errorf("step 1: write the method check of %s in shared/events/%s", name, file)
			}
			d, listed := events.Lookup(topic)
			if !listed {
				t.Errorf("step 3: %s is not listed, or its Topic is not %q: in shared/events/catalogue.go add define[%s](\"DESCRIPTION\"),",
					name, topic, name)
			} else if _, err := d.Sample(); err != nil {
				t.Errorf("step 3: write one event of %s, as it will be on the topic, to shared/events/testdata/%s.json", name, topic)
			}
		}
	}
	require.NotEmpty(t, declared, "this test no longer reads the source as it is")
	samples, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	for _, sample := range samples {
		if topic := strings.TrimSuffix(filepath.Base(sample), ".json"); !declared[topic] {
			t.Errorf("shared/events/%s is the sample of no type: a released type must stay", filepath.ToSlash(sample))
		}
	}
	require.Len(t, events.Catalogue(), len(declared), "shared/events/catalogue.go lists a type twice")
}
