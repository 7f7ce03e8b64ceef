package upload

import (
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// active are types that some server, browser or desktop runs. They are taken
// only where they are named.
var active = set(
	"application/vnd.microsoft.portable-executable", "application/x-elf", "application/x-object", "application/x-executable", "application/x-sharedlib",
	"application/x-mach-binary", "application/x-java-applet", "application/java-archive", "application/jar", "application/wasm", "application/x-shockwave-flash",
	"application/x-chrome-extension", "application/x-ms-installer", "application/vnd.debian.binary-package", "application/x-rpm",
	"application/vnd.android.package-archive", "application/x-ms-shortcut", "application/vnd.ms-htmlhelp", "application/x-bytecode.python", "application/x-installshield",
	"text/html", "application/xhtml+xml", "text/javascript", "text/x-php", "text/x-lua", "text/x-perl", "text/x-python", "text/x-ruby", "text/x-tcl", "text/x-shellscript",
	"application/hta", "application/x-msdos-program", "text/x-server-script", "text/vbscript",
)

// containers are formats whose members sniff as one another.
var containers = set("video/mp4", "video/quicktime", "application/ogg", "video/webm", "video/matroska", "video/x-ms-asf", "image/heif", "image/heic", "audio/mp4", "application/x-ole-storage")

// extensions that say what a file is. What is not here says nothing.
var extensions = map[string]string{
	"png": "image/png", "apng": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "jpe": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp",
	"tif": "image/tiff", "tiff": "image/tiff", "ico": "image/x-icon", "svg": "image/svg+xml", "heic": "image/heic", "heif": "image/heif", "avif": "image/avif", "psd": "image/vnd.adobe.photoshop",
	"pdf": "application/pdf", "ps": "application/postscript", "rtf": "text/rtf", "zip": "application/zip", "gz": "application/gzip", "tgz": "application/gzip", "tar": "application/x-tar",
	"bz2": "application/x-bzip2", "xz": "application/x-xz", "7z": "application/x-7z-compressed", "rar": "application/vnd.rar", "zst": "application/zstd",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", "doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint",
	"odt": "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet", "epub": "application/epub+zip",
	"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "ogg": "application/ogg", "oga": "audio/ogg", "m4a": "audio/x-m4a", "aac": "audio/aac",
	"mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mkv": "video/matroska", "avi": "video/x-msvideo", "mpeg": "video/mpeg", "mpg": "video/mpeg",
	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
	"txt": "text/plain", "csv": "text/csv", "tsv": "text/tab-separated-values", "json": "application/json", "xml": "text/xml", "md": "text/markdown", "yaml": "application/yaml", "yml": "application/yaml", "log": "text/plain", "ics": "text/calendar", "vcf": "text/vcard",

	"html": "text/html", "htm": "text/html", "xhtml": "application/xhtml+xml", "xht": "application/xhtml+xml", "js": "text/javascript", "mjs": "text/javascript", "vbs": "text/vbscript", "hta": "application/hta",
	"exe": "application/vnd.microsoft.portable-executable", "dll": "application/vnd.microsoft.portable-executable", "scr": "application/vnd.microsoft.portable-executable", "msi": "application/x-ms-installer",
	"com": "application/x-msdos-program", "bat": "application/x-msdos-program", "cmd": "application/x-msdos-program", "ps1": "application/x-msdos-program", "lnk": "application/x-ms-shortcut",
	"jar": "application/jar", "war": "application/jar", "class": "application/x-java-applet", "apk": "application/vnd.android.package-archive", "swf": "application/x-shockwave-flash", "wasm": "application/wasm",
	"sh": "text/x-shellscript", "bash": "text/x-shellscript", "py": "text/x-python", "pl": "text/x-perl", "rb": "text/x-ruby", "lua": "text/x-lua",
}

// serverScripts are extensions that web servers run, some of them wherever they
// stand in a name ("shell.php.png", CWE-434).
var serverScripts = set(
	"php", "php2", "php3", "php4", "php5", "php6", "php7", "php8", "phps", "pht", "phtm", "phtml", "phar", "inc", "pgif", "module", "ctp",
	"asp", "aspx", "ashx", "asmx", "ascx", "asa", "asax", "cer", "cdx", "config", "cshtml", "vbhtml", "soap",
	"jsp", "jspx", "jspf", "jsw", "jsv", "jspa", "do", "action", "cfm", "cfml", "cfc", "dbm", "cgi", "fcgi", "shtml", "shtm", "stm", "htaccess", "htpasswd",
)

// spellings are names that common clients send for a type.
var spellings = map[string]string{
	"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png", "image/svg": "image/svg+xml", "image/vnd.microsoft.icon": "image/x-icon",
	"application/x-zip-compressed": "application/zip", "application/x-zip": "application/zip", "application/x-compressed": "application/zip",
	"audio/x-mp3": "audio/mpeg", "audio/mpeg3": "audio/mpeg", "video/x-matroska": "video/matroska", "text/x-markdown": "text/markdown",
	"application/csv": "text/csv", "application/vnd.ms-excel.csv": "text/csv",
}

func canonical(t string) string {
	if c, ok := spellings[t]; ok {
		return c
	}
	return t
}

func set(list ...string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, s := range list {
		m[s] = true
	}
	return m
}

// chain is a sniffed type and what it is a kind of, most exact first, without
// charset and without the root (application/octet-stream).
func chain(m *mimetype.MIME) []string {
	var out []string
	for ; m != nil && m.Parent() != nil; m = m.Parent() {
		t, _, _ := strings.Cut(m.String(), ";")
		out = append(out, t)
	}
	return out
}

// fits reports whether sniffed content may be called claim: it is that or a kind
// of it, or so general a thing that nothing more can be told of it, such as text
// that is to be CSV.
func fits(content *mimetype.MIME, claim string) bool {
	claim = canonical(claim)
	if claim == "" || claim == "application/octet-stream" || claim == "*/*" {
		return true
	}
	if major, ok := strings.CutSuffix(claim, "/*"); ok {
		for _, t := range chain(content) {
			if strings.HasPrefix(t, major+"/") {
				return true
			}
		}
		return false
	}
	for m := content; m != nil && m.Parent() != nil; m = m.Parent() {
		if m.Is(claim) {
			return true
		}
	}
	known := mimetype.Lookup(claim)
	kinds := chain(content)
	if known == nil {
		// Nothing is known of the claim, so content of any known form contradicts it,
		// but for text formats.
		return len(kinds) == 0 || kinds[len(kinds)-1] == "text/plain" && !active[kinds[0]] && textual(claim)
	}
	if known.Is("image/svg+xml") {
		return false // must be seen to be SVG, or its scripts could not be looked for
	}
	above := chain(known)
	for i, t := range kinds {
		// The claim is a kind of what was sniffed: a ZIP that is to be a document.
		if i == 0 && contains(above, t) && (t != "text/plain" || textual(claim)) {
			return true
		}
		if containers[t] && contains(above, t) || containers[t] && containers[above[0]] && sameMajor(t, above[0]) {
			return true
		}
	}
	return len(kinds) == 0 && len(above) == 0
}

func textual(claim string) bool {
	return strings.HasPrefix(claim, "text/") || strings.HasSuffix(claim, "json") || strings.HasSuffix(claim, "xml") || strings.HasSuffix(claim, "yaml") ||
		strings.HasSuffix(claim, "csv") || strings.HasSuffix(claim, "graphql") || strings.HasSuffix(claim, "sql") || strings.HasSuffix(claim, "pem-file") || strings.Contains(claim, "x-pem")
}

func sameMajor(a, b string) bool {
	x, _, _ := strings.Cut(a, "/")
	y, _, _ := strings.Cut(b, "/")
	return x == y
}

func contains(list []string, s string) bool {
	for _, t := range list {
		if t == s {
			return true
		}
	}
	return false
}
