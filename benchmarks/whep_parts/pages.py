"""The pages of `benchmarks.whep`: one publishes a barcode of the time, one reads what is painted."""

PUBLISH = """<!doctype html><meta charset=utf-8><canvas width=1280 height=720></canvas><script>
(async () => {
  const canvas = document.querySelector('canvas'), g = canvas.getContext('2d');
  const cell = 1280 / 32;
  setInterval(() => {
    const now = Math.round(performance.timeOrigin + performance.now()) % 4294967296;
    g.fillStyle = `hsl(${now / 40 % 360} 40% 50%)`; g.fillRect(0, 0, 1280, 720);
    g.fillStyle = '#fff'; g.fillRect(now / 4 % 1200, 300, 80, 200);
    for (let bit = 0; bit < 32; bit++) {
      g.fillStyle = Math.floor(now / 2 ** (31 - bit)) % 2 ? '#fff' : '#000';
      g.fillRect(bit * cell, 0, cell, cell);
    }
  }, 1000 / 30);
  const pc = new RTCPeerConnection();
  const [track] = canvas.captureStream(30).getVideoTracks();
  const sender = pc.addTransceiver(track, {direction: 'sendonly'});
  sender.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs
    .filter(c => ['video/H264', 'video/rtx'].includes(c.mimeType)));
  await pc.setLocalDescription();
  await new Promise(done => { if (pc.iceGatheringState === 'complete') done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(); });
  const reply = await fetch(URL_OF_WHIP, {method: 'POST', headers: {'Content-Type': 'application/sdp'},
                                          body: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: 'answer', sdp: await reply.text()});
  window.pc = pc;
})().catch(error => { window.failed = String(error); });
</script>"""

WATCH = """<!doctype html><meta charset=utf-8><video autoplay muted playsinline></video><script>
(async () => {
  window.shown = [];  // [wall clock ms, RTP timestamp, number in the picture]
  const wall = at => performance.timeOrigin + at;
  const pc = window.pc = new RTCPeerConnection();
  pc.addTransceiver('video', {direction: 'recvonly'});
  const video = document.querySelector('video'), strip = document.createElement('canvas');
  strip.width = 256; strip.height = 4;
  const g = strip.getContext('2d', {willReadFrequently: true});
  pc.ontrack = event => {
    if (HOLD_MS) event.receiver.jitterBufferTarget = HOLD_MS;
    video.srcObject = new MediaStream([event.track]);
  };
  const look = (now, meta) => {
    const cell = video.videoWidth / 32;
    g.drawImage(video, 0, cell / 4, video.videoWidth, cell / 2, 0, 0, 256, 4);
    const row = g.getImageData(0, 2, 256, 1).data;
    let number = 0;
    for (let bit = 0; bit < 32; bit++) number = number * 2 + (row[4 * (bit * 8 + 4)] > 126 ? 1 : 0);
    shown.push([wall(now), meta.rtpTimestamp, number]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  window.asked = wall(performance.now());
  await pc.setLocalDescription();
  await new Promise(done => { if (pc.iceGatheringState === 'complete') done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done(); });
  const reply = await fetch(URL_OF_WHEP, {method: 'POST', headers: {'Content-Type': 'application/sdp'},
                                          body: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: 'answer', sdp: await reply.text()});
})().catch(error => { window.failed = String(error); });
</script>"""

STATISTICS = """async () => {
  const found = [...(await pc.getStats()).values()].find(r => r.type === 'inbound-rtp' && r.kind === 'video');
  const {freezeCount, totalFreezesDuration, nackCount, pliCount, packetsLost, packetsReceived, framesDecoded,
         framesDropped} = found ?? {};
  return {freezeCount, totalFreezesDuration, nackCount, pliCount, packetsLost, packetsReceived, framesDecoded,
          framesDropped};
}"""
