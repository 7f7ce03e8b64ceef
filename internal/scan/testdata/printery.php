<?php
// A small API with the flaws that PHP's readers of XML and of serialised values
// lend to what is handed to them as it came; with OPEN=0, without them; with
// OPEN=plain, serialised values are read without their classes.
$open = getenv('OPEN') === '1';
$plain = getenv('OPEN') === 'plain';
ini_set('display_errors', '0');
libxml_use_internal_errors(true);

function say(int $status, $v): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($v);
    exit;
}

function complaint(): string
{
    $e = libxml_get_last_error();
    return $e ? trim($e->message) : 'the document is empty';
}

function stored(string $text)
{
    global $open, $plain;
    try {
        $v = $open ? unserialize($text) : ($plain ? unserialize($text, ['allowed_classes' => false]) : json_decode($text, true, 8, JSON_THROW_ON_ERROR));
    } catch (Throwable $e) {
        say(500, ['error' => 'it went wrong']);
    }
    if ($v === false || $v === null) {
        say(400, ['error' => 'this is nothing that was kept']);
    }
    return $v;
}

$raw = file_get_contents('php://input');
$in = json_decode($raw, true);
switch ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
case 'POST /invoices':
    $doc = simplexml_load_string($raw, null, $open ? LIBXML_NOENT : LIBXML_NONET);
    if ($doc === false) {
        say(400, ['error' => complaint()]);
    }
    if (!isset($doc->number)) {
        say(422, ['error' => 'the number is missing']);
    }
    say(200, ['number' => (string)$doc->number]);
case 'POST /feeds':
    $doc = new DOMDocument();
    if ($raw === '' || !$doc->loadXML($raw, $open ? LIBXML_NOENT | LIBXML_DTDLOAD : LIBXML_NONET)) {
        say(400, ['error' => 'not well-formed']);
    }
    say(202, ['taken' => true]);
case 'POST /orders':
    $doc = simplexml_load_string($raw, null, $open ? LIBXML_NOENT : LIBXML_NONET);
    if ($doc === false) {
        say(400, ['error' => 'XML expected']);
    }
    if ($doc->getName() !== 'order') {
        say(422, ['error' => 'root element: expected <order>']);
    }
    if (!isset($doc->article)) {
        say(422, ['error' => "element 'article' is missing"]);
    }
    say(200, ['article' => (string)$doc->article]);
case 'POST /notes':
    say(201, ['note' => $raw]);
case 'GET /basket':
    $v = stored($_GET['basket'] ?? 'a:0:{}');
    say(200, ['articles' => count((array)$v)]);
case 'POST /drafts/restore':
    $v = stored((string)base64_decode((string)($in['state'] ?? ''), true));
    say(200, ['restored' => true]);
case 'POST /drafts/resume':
    $v = stored((string)($in['snapshot'] ?? ''));
    is_array($v) ? say(200, ['parts' => count($v)]) : say(422, ['error' => 'no parts']);
default:
    say(404, ['error' => 'none']);
}
