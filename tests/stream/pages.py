"""Browser pages for the tests: one publishes (camera or barcoded canvas), one watches."""

from __future__ import annotations

PUBLISH = """<!doctype html><meta charset=utf-8><body><script>
const q = new URLSearchParams(location.search);
async function source() {
  if (q.get('source') === 'camera') {
    return navigator.mediaDevices.getUserMedia({video: {width: 1280, height: 720}, audio: q.has('audio')});
  }
  const [w, h] = [+(q.get('w') || 640), +(q.get('h') || 360)];
  const c = document.createElement('canvas'); c.width = w; c.height = h;
  const g = c.getContext('2d'); let n = 0; const cell = Math.floor(w / 32);
  const draw = () => {
    n++; g.fillStyle = '#505050'; g.fillRect(0, 0, w, h);
    for (let b = 0; b < 32; b++) {
      g.fillStyle = (n >>> (31 - b)) & 1 ? '#fff' : '#000'; g.fillRect(b * cell, 0, cell, cell);
    }
    g.fillStyle = '#c33'; g.fillRect((n * 6) % w, h / 2, h / 4, h / 4);
  };
  setInterval(draw, 33); draw();
  return c.captureStream(30);
}
(async () => {
  const stream = await source();
  const pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    const t = pc.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
    if (track.kind === 'video' && q.get('codec')) {
      const all = RTCRtpSender.getCapabilities('video').codecs;
      t.setCodecPreferences(all.filter(c => c.mimeType.toLowerCase() === 'video/' + q.get('codec')));
    }
  }
  await pc.setLocalDescription();
  const r = await fetch('/whip/show', {method: 'POST', headers: {'Content-Type': 'application/sdp'},
                                       body: pc.localDescription.sdp});
  if (r.status !== 201) throw new Error(r.status + ' ' + await r.text());
  const where = r.headers.get('Location');
  const etag = r.headers.get('ETag');
  pc.onicecandidate = e => { if (e.candidate) fetch(where, {method: 'PATCH', headers: {
      'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag},
      body: 'a=mid:' + e.candidate.sdpMid + '\\r\\na=' + e.candidate.candidate + '\\r\\n'}); };
  await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
  window.pc = pc; window.where = where;
})().catch(e => fetch('/report', {method: 'POST', body: JSON.stringify({error: String(e)})}));
</script>"""

WATCH = """<!doctype html><meta charset=utf-8><body><video autoplay muted playsinline></video><script>
(async () => {
  const pc = new RTCPeerConnection();
  pc.addTransceiver('video', {direction: 'recvonly'});
  pc.addTransceiver('audio', {direction: 'recvonly'});
  const video = document.querySelector('video');
  const stream = new MediaStream(); video.srcObject = stream;
  pc.ontrack = e => stream.addTrack(e.track);
  await pc.setLocalDescription();
  const r = await fetch('/whep/show', {method: 'POST', headers: {'Content-Type': 'application/sdp'},
                                       body: pc.localDescription.sdp});
  if (r.status !== 201) throw new Error(r.status + ' ' + await r.text());
  await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
  window.pc = pc; window.shown = [];
  const c = document.createElement('canvas'); const g = c.getContext('2d', {willReadFrequently: true});
  const cb = (now, m) => {
    c.width = video.videoWidth; c.height = video.videoHeight; g.drawImage(video, 0, 0);
    const cell = c.width / 32; const row = g.getImageData(0, Math.floor(cell / 2), c.width, 1).data;
    let n = 0;
    for (let b = 0; b < 32; b++) n = (n * 2) + (row[4 * Math.floor((b + .5) * cell)] > 126 ? 1 : 0);
    window.shown.push([m.rtpTimestamp, n, c.width]); video.requestVideoFrameCallback(cb);
    const {shown} = window;
    if (shown.length === 40) fetch('/report', {method: 'POST', body: JSON.stringify({shown})});
  };
  video.requestVideoFrameCallback(cb);
})().catch(e => fetch('/report', {method: 'POST', body: JSON.stringify({error: String(e)})}));
</script>"""
