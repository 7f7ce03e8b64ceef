package value

// Part is one file part of a multipart body: what it says of itself, and where
// its content lies in the body's bytes. Its content is in no tree.
type Part struct {
	Name        string // form field
	FileName    string // as sent, decoded; never to be used as a path
	ContentType string // as sent, lower case, without parameters
	Start, End  int    // body[Start:End] is the content
}
