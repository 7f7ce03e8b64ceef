// Package upload checks that a file is what it says it is, and is of a kind that
// the operation takes.
//
// In: the file parts of a multipart body, or a body that is a file as a whole;
// what the contract says of them (media type, encoding.contentType). Out: a
// Verdict upload.type or upload.name.
//
// Three things must agree: the content as sniffed, the type that was sent, and
// the extension of the name. Content that some server or browser would run
// (programs, scripts, HTML, SVG with scripts, images with PHP inside) is refused
// unless the contract or the config names its type.
//
// It reads content in place and never writes, unpacks or runs it. It must never
// take a client's word for a type.
package upload
