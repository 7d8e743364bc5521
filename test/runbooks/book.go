package runbooks

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Book is one file of docs/runbooks.
type Book struct {
	// Name is the file's.
	Name, Text string
	Blocks     []Block
}

// Block is what is typed of a book without anything between.
type Block struct {
	// If says when it is typed; "": always.
	If string
	// Commands are its lines without their prompt.
	Commands []string
}

var fenced = regexp.MustCompile("(?ms)^```(\\w*)(?: if ([^\n]+))?\n(.*?)^```$")

// Read reads all books of a folder. What is fenced is for the console, and each line of
// it begins with a prompt.
func Read(dir string) ([]Book, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return nil, err
	}
	var all []Book
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		b := Book{Name: filepath.Base(file), Text: string(text)}
		if b.Blocks, err = blocks(b.Text); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		all = append(all, b)
	}
	return all, nil
}

func blocks(text string) ([]Block, error) {
	found := fenced.FindAllStringSubmatch(text, -1)
	if 2*len(found) != strings.Count(text, "```") {
		return nil, fmt.Errorf("it has %d fences, and %d blocks were read", strings.Count(text, "```"), len(found))
	}
	var all []Block
	for _, match := range found {
		if match[1] != "console" {
			return nil, fmt.Errorf("a block of %q is not for the console", match[1])
		}
		b := Block{If: match[2]}
		for line := range strings.Lines(match[3]) {
			command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
			if !ok {
				return nil, fmt.Errorf("%q does not begin with a prompt", line)
			}
			b.Commands = append(b.Commands, command)
		}
		all = append(all, b)
	}
	return all, nil
}

// Commands are those of all blocks.
func (b Book) Commands() []string {
	var all []string
	for _, block := range b.Blocks {
		all = append(all, block.Commands...)
	}
	return all
}
